"""A run that is killed, stopped or interrupted goes on as if nothing had happened; another run is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from safetensors.torch import load_file

from avssl.train import checkpoint, run
from avssl.train.checkpoint import load_run
from avssl.train.log import one_writer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    toy.install(monkeypatch)


def command(out: Path, *words: str, kill: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        **({"TINY_KILL": kill} if kill else {}),
    }
    call = [sys.executable, str(Path(__file__).with_name("toy.py")), str(out), *words]
    return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=300)


def weights(out: Path, step: int = 8) -> dict[str, torch.Tensor]:
    folder = out / "checkpoints" / f"step-{step:06d}"
    return load_file(folder / "model.safetensors") | load_file(folder / "optimizer.safetensors")


def same(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    lines = [[json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()] for out in (one, other)]
    told = [[{k: v for k, v in line.items() if k not in ("time", "wait")} for line in part] for part in lines]
    assert told[0] == told[1]


def train(out: Path, *words: str, **more: Any) -> run.Run:
    return run.start(toy.cfg_of(*words), out, progress=False, **more)


def stopped(out: Path, step: int, *words: str, monkeypatch: pytest.MonkeyPatch) -> run.Run:
    """Ctrl-C in that step."""
    with monkeypatch.context() as patch:
        patch.setenv("TINY_KILL", f"{int(signal.SIGINT)}@{step}")
        patch.setenv("TINY_STEPS", "8")
        return train(out, *words)


def test_a_run_goes_on_under_a_version_that_has_more_settings(tmp_path: Path) -> None:
    """What is new stands at its default, as it did when there was no such thing."""
    train(tmp_path / "run", "steps=2")
    (path,) = (tmp_path / "run" / "checkpoints").glob("step-*")
    state = json.loads((path / "state.json").read_text())
    del state["config"]["data"]["draws"], state["config"]["encoders"]["audio"]["lora"]
    (path / "state.json").write_text(json.dumps(state))
    sums = json.loads((path / "manifest.json").read_text())
    sums["state.json"] = checkpoint.sha256(path / "state.json")
    (path / "manifest.json").write_text(json.dumps(sums))
    assert train(tmp_path / "run", "steps=3").step == 3
    with pytest.raises(ValueError, match=r"the settings changed: data\.draws: 0 -> 2"):
        train(tmp_path / "run", "steps=4", "data.draws=2")


def test_a_tower_may_move_slower_than_the_rest(tmp_path: Path) -> None:
    """At a thousandth of the rate an encoder stays about where it began, and what is beside it does not."""
    moved: dict[str, dict[str, float]] = {}
    for rate in ("1", "0.001"):
        out = tmp_path / rate
        train(out, f"encoders.image.rate={rate}", "checkpoint_every=1", "keep=8", "optim.weight_decay=0")
        first, last = weights(out, 1), weights(out)
        moved[rate] = {key: float((last[key] - first[key]).abs().max()) for key in ("head.weight", "scale")}
        moved[rate]["encoder"] = max(
            float((last[key] - value).abs().max())
            for key, value in first.items()
            if key.startswith("encoders.image.") and key.endswith(".weight")
        )
    assert moved["0.001"]["encoder"] < 0.01 * moved["1"]["encoder"]
    assert moved["0.001"]["head.weight"] > 0.1 * moved["1"]["head.weight"]


@pytest.mark.parametrize(
    "words",
    [(), ("precision=bf16",), ("optim.name=lars",), ("method.turns=2", "optim.accumulate=2"),
     ("encoders.image.rate=0.3",)],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 5])
def test_stopped_and_resumed_is_bit_identical(
    tmp_path: Path, words: tuple[str, ...], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After step 5 the third epoch begins (10 items, 4 at a time); the method counts its before_epoch calls."""
    assert train(tmp_path / "whole", *words).how == "finished"
    done = stopped(tmp_path / "parts", step, *words, monkeypatch=monkeypatch)
    assert (done.how, done.signal, done.step) == ("interrupted", signal.SIGINT, step)
    torch.manual_seed(99)
    assert train(tmp_path / "parts", *words).step == 8
    same(tmp_path / "whole", tmp_path / "parts")
    assert int(weights(tmp_path / "whole")["epochs"]) == 3


def test_resumed_with_other_workers_is_bit_identical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path / "whole", "data.workers=0")
    stopped(tmp_path / "parts", 4, "data.workers=0", monkeypatch=monkeypatch)
    train(tmp_path / "parts", "data.workers=1")
    same(tmp_path / "whole", tmp_path / "parts")


def test_killed_and_resumed_is_bit_identical(tmp_path: Path) -> None:
    """SIGKILL in step 5: the last checkpoint is of step 3, and log lines 4 are told again, once."""
    train(tmp_path / "whole")
    killed = command(tmp_path / "parts", kill=f"{int(signal.SIGKILL)}@5")
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "parts/checkpoints/latest").read_text() == "step-000003\n"
    assert len((tmp_path / "parts/log.jsonl").read_text().splitlines()) == 4
    resumed = command(tmp_path / "parts")
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from step 3 of 8" in resumed.stdout
    same(tmp_path / "whole", tmp_path / "parts")
    again = command(tmp_path / "parts")
    assert again.returncode == 0
    assert "is trained: step 8 of 8" in again.stdout


def test_term_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    ended = command(tmp_path / "x", kill=f"{int(signal.SIGTERM)}@4")
    assert ended.returncode == 143
    assert f"stopped after step 4, saved; go on with: avssl train {tmp_path / 'x'} --resume" in ended.stdout
    assert (tmp_path / "x/checkpoints/latest").read_text() == "step-000004\n"


def test_killed_before_the_first_checkpoint_starts_anew(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    assert command(tmp_path / "parts", kill=f"{int(signal.SIGKILL)}@2").returncode == -signal.SIGKILL
    train(tmp_path / "parts")
    same(tmp_path / "whole", tmp_path / "parts")


def test_damaged_checkpoint_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    train(tmp_path / "whole")
    stopped(tmp_path / "parts", 7, monkeypatch=monkeypatch)
    file = tmp_path / "parts/checkpoints/step-000007/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    run.start(toy.cfg_of(), tmp_path / "parts")
    assert (
        "step-000007 is damaged: model.safetensors is not what was written; going back to step-000006"
        in capsys.readouterr().out
    )
    same(tmp_path / "whole", tmp_path / "parts")


def test_another_config_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "x", 4, monkeypatch=monkeypatch)
    before = (tmp_path / "x/config.yaml").read_text()
    with pytest.raises(
        ValueError, match=r"holds another run.*: optim.lr: 0.01 -> 0.02; seed: 0 -> 3; undo that"
    ) as error:
        train(tmp_path / "x", "optim.lr=0.02", "seed=3", "data.workers=1")
    assert "\n" not in str(error.value)
    assert (tmp_path / "x/config.yaml").read_text() == before
    assert train(tmp_path / "x", "steps=9", "log_every=2", "keep=1", "checkpoint_every=4").step == 9


def test_of_many_settings_that_differ_some_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "x", 4, monkeypatch=monkeypatch)
    other = [
        "optim.lr=0.02",
        "optim.weight_decay=0.3",
        "seed=3",
        "optim.warmup=0.5",
        "inputs.height=96",
        "inputs.fps=3",
    ]
    with pytest.raises(ValueError, match=r"holds another run") as error:
        train(tmp_path / "x", *other, "inputs.hz=8000", "inputs.mels=20")
    assert str(error.value).count(" -> ") == run.TOLD
    assert "; and 2 more; undo that, or choose another -o" in str(error.value)
    held = {"method": {"name": "trimodal"}}
    with pytest.raises(ValueError, match=r"^x holds a run of trimodal; choose another -o$"):
        run._same(Path("x"), "config", held, {"method": {"name": "simclr"}})


def test_fewer_steps_than_were_made(tmp_path: Path, capsys: Any) -> None:
    train(tmp_path / "x")
    assert run.start(toy.cfg_of("steps=5"), tmp_path / "x").how == "already"
    assert "is trained: step 8 where 5 are asked for; for more" in capsys.readouterr().out


def test_a_damaged_description_is_told_and_mended_by_a_step_more(tmp_path: Path) -> None:
    train(tmp_path / "x")
    (tmp_path / "x/run.json").write_text("{bad")
    with pytest.raises(ValueError, match=r"run.json is damaged: .*; a step more writes it anew: .* steps=9$"):
        train(tmp_path / "x")
    assert train(tmp_path / "x", "steps=9").step == 9
    assert load_run(tmp_path / "x").step == 9


def test_another_manifest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "x", 4, monkeypatch=monkeypatch)
    toy.install(monkeypatch, digest="1" * 64)
    with pytest.raises(ValueError, match=r"holds another run.* changed: manifest: 000000000000 -> 111111111111"):
        train(tmp_path / "x")


def test_unreadable_is_one_line(tmp_path: Path) -> None:
    train(tmp_path / "x", "keep=1")
    (tmp_path / "x/checkpoints/step-000008/state.json").write_text("{")
    for use in (lambda: train(tmp_path / "x"), lambda: load_run(tmp_path / "x")):
        with pytest.raises(ValueError, match=r"state.json is not what was written") as error:
            use()
        assert "\n" not in str(error.value)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with one_writer(tmp_path / "x"), pytest.raises(ValueError, match="is being trained by another process"):
        train(tmp_path / "x")


def test_a_folder_with_another_config_yaml_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(ValueError, match="choose another -o"):
        train(tmp_path)
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_plateau_ends_and_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {2: 0.5, 4: 0.4, 6: 0.45, 8: 0.9}
    words = ("stop=plateau", "patience=2", "evaluate_every=2", "steps=20")
    told = []

    def evaluate(method: torch.nn.Module, step: int) -> dict[str, float]:
        told.append((step, method.training, torch.is_grad_enabled()))
        torch.manual_seed(step)
        return {"score": scores[step], "recall": 1.0}

    done = train(tmp_path / "x", *words, evaluate=evaluate)
    assert (done.how, done.step) == ("plateau", 6)
    assert told == [(2, False, False), (4, False, False), (6, False, False)]
    assert train(tmp_path / "x", *words, evaluate=evaluate).how == "already"
    monkeypatch.setenv("TINY_KILL", f"{int(signal.SIGINT)}@5")
    monkeypatch.setenv("TINY_STEPS", "20")
    assert train(tmp_path / "y", *words, evaluate=evaluate).step == 5
    monkeypatch.delenv("TINY_KILL")
    assert train(tmp_path / "y", *words, evaluate=evaluate).step == 6
    for key, value in weights(tmp_path / "x", 6).items():
        assert torch.equal(value, weights(tmp_path / "y", 6)[key])
    lines = [json.loads(line) for line in (tmp_path / "x/log.jsonl").read_text().splitlines()]
    assert [line["held_out/score"] for line in lines if "held_out/score" in line] == [0.5, 0.4, 0.45]
    more = train(tmp_path / "x", "stop=steps", "patience=2", "evaluate_every=2", "steps=8", evaluate=evaluate)
    assert (more.how, more.step) == ("finished", 8)
    with pytest.raises(ValueError, match="stop=plateau needs evaluate_every"):
        train(tmp_path / "z", "stop=plateau")
    with pytest.raises(ValueError, match="needs a held-out score"):
        train(tmp_path / "z", *words, evaluate=lambda method, step: {"loss": 1.0})


def test_loss_that_is_not_finite_stops_with_the_batch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the loss became nan at step 4, turn main: lower optim.lr") as error:
        train(tmp_path / "x", "method.break_at=4")
    assert "\n" not in str(error.value)
    told = json.loads((tmp_path / "x/nonfinite-step-000004-rank-0.json").read_text())
    assert len(told["index"]) == 4
    assert told["step"] == 4
    found = checkpoint.latest(tmp_path / "x/checkpoints")
    assert found is not None
    assert found.state["step"] == 3


def test_threads_are_recorded_and_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "x", 4, "threads=2", monkeypatch=monkeypatch)
    state = json.loads((tmp_path / "x/checkpoints/step-000004/state.json").read_text())
    torch.set_num_threads(1)
    assert state["threads"] == 2
    assert state["versions"]["torch"] == torch.__version__
    train(tmp_path / "x", "threads=2")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    stopped(tmp_path / "y", 4, monkeypatch=monkeypatch)
    torch.set_num_threads(2)
    train(tmp_path / "y")
    assert torch.get_num_threads() == 1


def test_load_run_trained_and_untrained(tmp_path: Path) -> None:
    train(tmp_path / "x")
    x = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    loaded = load_run(tmp_path / "x")
    assert (loaded.step, loaded.method.training, loaded.cfg.optim.lr) == (8, False, 0.01)
    assert loaded.digest == checkpoint.sha256(tmp_path / "x/checkpoints/step-000008/model.safetensors")
    earlier = load_run(tmp_path / "x/checkpoints/step-000006")
    assert earlier.step == 6
    assert earlier.digest != loaded.digest
    random = torch.get_rng_state()
    fresh, again = load_run(tmp_path / "x", trained=False), load_run(tmp_path / "x", trained=False)
    assert torch.equal(random, torch.get_rng_state())
    assert fresh.digest == again.digest != loaded.digest
    assert torch.equal(fresh.method.embed("image", x), again.method.embed("image", x))
    assert not torch.allclose(fresh.method.embed("image", x), loaded.method.embed("image", x), atol=1e-3)
    with pytest.raises(ValueError, match="is no run"):
        load_run(tmp_path)


def test_init_starts_from_the_encoders_of_another_run(tmp_path: Path) -> None:
    train(tmp_path / "x")
    seen: list[torch.Tensor] = []

    def evaluate(method: torch.nn.Module, step: int) -> dict[str, float]:
        seen.append(method.encoders["image"].trunk[0][0].weight.clone())
        return {}

    train(tmp_path / "y", f"init={tmp_path / 'x'}", "optim.lr=1e-12", "steps=1", evaluate=evaluate)
    assert torch.allclose(seen[0], weights(tmp_path / "x")["encoders.image.trunk.0.0.weight"], atol=1e-6)
    with pytest.raises(ValueError, match=r"encoders.image.trunk.* is \(\d+, .*there and .* here"):
        train(tmp_path / "z", f"init={tmp_path / 'x'}", "encoders.image.width=32")
