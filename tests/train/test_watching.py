"""An alarm where vectors collapse: every encoder is watched on few items, and the run learns as if nobody looked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from known import Known, held
from safetensors.torch import load_file
from torch import Generator, Tensor

from avssl import encoders
from avssl.cli import run
from avssl.cli._feedback import WATCHED, Feedback, Whole, _collapse, embedded
from avssl.config import load
from avssl.data.loader import Loader
from avssl.inputs import Inputs
from avssl.methods.base import Space, config_of, find
from avssl.sample import Sample
from avssl.train.loop import Loop
from avssl.train.run import Run, start


class Same(Known):
    """Embeds every sound near one place, pictures as it should."""

    def embed(self, modality: str, x: Tensor, space: str) -> Tensor:
        apart = torch.eye(16)[x[:, 0].long()]
        if modality == "audio":
            apart = torch.nn.functional.normalize(torch.eye(16)[15] + 1e-3 * apart, dim=1)
        return apart


def test_an_alarm_where_vectors_collapse(capsys: pytest.CaptureFixture[str]) -> None:
    healthy = _collapse(embedded(Known(), held(12), ("image", "audio"), "main"), 7)  # type: ignore[arg-type]
    assert healthy["collapse/image_alarm"] == healthy["collapse/audio_alarm"] == 0.0
    assert healthy["collapse/audio_rank"] == pytest.approx(11, rel=1e-3)
    assert healthy["collapse/audio_spread"] == pytest.approx((11 / 12) ** 0.5)
    assert capsys.readouterr().err == ""
    found = _collapse(embedded(Same(), held(12), ("image", "audio"), "main"), 7)  # type: ignore[arg-type]
    assert (found["collapse/image_alarm"], found["collapse/audio_alarm"]) == (0.0, 1.0)
    assert found["collapse/audio_twins"] == 1.0
    told = "alarm: step 7: audio has collapsed: all vectors are nearly the same (spread 0.001 of 1)\n"
    assert capsys.readouterr().err == told


def test_what_is_said_twice_may_have_one_vector(capsys: pytest.CaptureFixture[str]) -> None:
    """Four sounds four times each, and every second item says nothing, which has one vector; the others differ."""
    batches = [{**batch, "audio": batch["audio"] % 4} for batch in held(16)]
    seen = embedded(Known(), batches, ("audio", "text"), "main")  # type: ignore[arg-type]
    assert seen.different["audio"] == [0, 1, 2, 3]
    found = _collapse(seen, 1)
    assert found["collapse/text_twins"] == found["collapse/audio_twins"] == 0.0
    assert found["collapse/audio_spread"] == pytest.approx((3 / 4) ** 0.5)
    assert capsys.readouterr().err == ""


def test_methods_with_one_modality_are_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.install(monkeypatch)
    cfg = toy.cfg_of()
    method = toy.Tiny(toy.Config(), Inputs(cfg.inputs), encoders.build(cfg.encoders, ["image"]), 10).eval()

    def opened(_: Feedback, method: object, modalities: tuple[str, ...]) -> Loader:
        made = Whole(method.inputs, modalities) if modalities else toy.Pictures()  # type: ignore[attr-defined]
        return Loader(toy.MadeUp(10), made, batch=5, seed=0, workers=0, length=10)

    monkeypatch.setattr(Feedback, "_open", opened)
    with torch.no_grad():
        figures = Feedback(cfg, tmp_path)(method, 3)
    assert figures["score"] == -figures["loss"]
    assert figures["collapse/image_rank"] > 1


class Heard:
    """Items whose pictures and sounds are drawn from their index."""

    def __init__(self, count: int, inputs: Inputs):
        self.items = [(index,) for index in range(count)]
        self.inputs = inputs

    def get(self, index: int, generator: Generator) -> Sample:
        draw, size = Generator().manual_seed(index), self.inputs.cfg
        video = torch.randint(0, 256, (1, size.frames, 3, 32, 32), generator=draw, dtype=torch.uint8)
        time = torch.arange(round(size.audio_seconds * size.hz)) / size.hz
        return Sample(str(index), index, (0.0,), {"video": video, "audio": torch.sin(200 * (index + 1) * time)[None]})


def watched(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, items: int = 12) -> tuple[Feedback, Any]:
    """A method from its shipped config, small, and what looks at made-up items for it."""
    words = ["inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=8", "inputs.audio_seconds=0.5",
             *(f"encoders.{kind}.width=16" for kind in ("image", "video", "audio"))]  # fmt: skip
    cfg = load(name, words, config_of)
    inputs, kind = Inputs(cfg.inputs), find(name)
    torch.manual_seed(0)
    towers = encoders.build(cfg.encoders, kind.towers(cfg.method, cfg.encoders), mels=cfg.inputs.mels)
    opened: list[tuple[str, ...]] = []

    def source(_: Feedback, method: object, modalities: tuple[str, ...]) -> Loader:
        opened.append(modalities)
        return Loader(Heard(items, inputs), Whole(inputs, modalities), batch=8, seed=0, workers=0, length=items)

    monkeypatch.setattr(Feedback, "_open", source)
    feedback = Feedback(cfg, tmp_path)
    feedback.opened = opened  # type: ignore[attr-defined]
    return feedback, kind(cfg.method, inputs, towers, items).eval()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("l3_net", {"image", "audio"}),
        ("multisensory", {"video", "audio"}),
        ("sync_offset", {"video", "audio"}),
        ("ave_net", {"image", "audio"}),
    ],
)
@torch.no_grad()
def test_every_encoder_is_watched_in_a_space_or_alone(
    name: str, told: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feedback, method = watched(name, monkeypatch, tmp_path)
    figures = feedback.watch(method, 5)
    assert {key.removeprefix("collapse/").split("_")[0] for key in figures} == told
    assert figures["collapse/audio_spread"] > 1e-4, "without training, vectors are near each other, and differ"
    capsys.readouterr()
    for weight in method.encoders["audio"].parameters():
        weight.zero_()
    found = feedback.watch(method, 6)
    assert found["collapse/audio_spread"] < 1e-6, "all sounds have become the same vector"
    assert found["collapse/audio_alarm"] == 1.0
    assert "alarm: step 6: audio has collapsed: " in capsys.readouterr().err


@torch.no_grad()
def test_what_is_judged_is_not_watched_again_and_all_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feedback, method = watched("ave_net", monkeypatch, tmp_path)
    assert {"score", "collapse/image_rank", "collapse/audio_rank"} <= set(feedback(method, 1))
    assert feedback.opened == [("image", "audio")]  # type: ignore[attr-defined]
    monkeypatch.setattr("avssl.evaluation.task.solved", lambda method, loader: {"loss": 0.0})
    feedback, method = watched("l3_net", monkeypatch, tmp_path)
    assert {"score", "collapse/image_rank", "collapse/audio_rank"} <= set(feedback(method, 1))
    assert feedback.opened == [(), ("image",), ("audio",)]  # type: ignore[attr-defined]


@torch.no_grad()
def test_a_modality_of_two_spaces_is_told_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feedback, method = watched("ave_net", monkeypatch, tmp_path)
    method.spaces["fine"] = Space(("audio",), 8)

    def places(x: Tensor) -> Tensor:
        return torch.randn(len(x), 16, generator=Generator().manual_seed(len(x)))

    method.embed = lambda modality, x, space: places(x) if space == "main" else torch.ones(len(x), 8)
    figures = feedback.watch(method, 1)
    assert (figures["collapse/audio_alarm"], figures["collapse/fine_audio_alarm"]) == (0.0, 1.0)


@torch.no_grad()
def test_few_items_are_watched_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feedback, method = watched("sync_offset", monkeypatch, tmp_path, items=3 * WATCHED)
    seen: list[int] = []
    monkeypatch.setattr(
        Heard, "get", lambda self, index, draw, get=Heard.get: seen.append(index) or get(self, index, draw)
    )
    first = feedback.watch(method, 1)
    assert seen == list(range(0, 3 * WATCHED, 3))
    assert feedback.watch(method, 2) == first
    assert len(seen) == WATCHED <= 36


def test_a_run_that_collapses_is_told_while_it_trains_and_learns_as_if_nobody_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No evaluation but the last; ten looks on the way, which draw numbers as they like."""
    toy.install(monkeypatch)
    monkeypatch.setattr("avssl.train.loop.LOOK_ITEMS", 1)

    def opened(_: Feedback, method: object, modalities: tuple[str, ...]) -> Loader:
        made = Whole(method.inputs, modalities) if modalities else toy.Pictures()  # type: ignore[attr-defined]
        return Loader(toy.MadeUp(10), made, batch=5, seed=0, workers=0, length=10)

    def embed(self: toy.Tiny, modality: str, x: Tensor, space: str = "main") -> Tensor:
        torch.rand(3)
        assert not self.training
        assert not torch.is_grad_enabled()
        return torch.eye(8)[:1].expand(len(x), 8)

    monkeypatch.setattr(Feedback, "_open", opened)
    monkeypatch.setattr(toy.Tiny, "embed", embed)
    cfg = toy.cfg_of("steps=20")
    start(cfg, tmp_path / "alone", progress=False)
    feedback = Feedback(cfg, tmp_path / "seen")
    start(cfg, tmp_path / "seen", evaluate=feedback, watch=feedback.watch, progress=False)
    told = [line.split(":")[1] for line in capsys.readouterr().err.splitlines() if line.startswith("alarm: ")]
    assert told == [f" step {step}" for step in range(2, 21, 2)]
    lines = [json.loads(line) for line in (tmp_path / "seen" / "log.jsonl").read_text().splitlines()]
    alarms = [line["step"] for line in lines if line.get("held_out/collapse/image_alarm")]
    assert alarms == list(range(2, 21, 2))
    assert [line["step"] for line in lines if "held_out/score" in line] == [20], "only the last is an evaluation"
    weights = [load_file(tmp_path / out / "checkpoints/step-000020/model.safetensors") for out in ("alone", "seen")]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (("steps=4000", "data.batch=50"), range(400, 4000, 400)),
        (("steps=100", "data.batch=40"), (50,)),
        (("steps=40", "data.batch=40"), ()),
        (("steps=4000", "data.batch=50", "evaluate_every=7"), ()),
    ],
)
def test_looks_are_tenths_of_a_run_and_not_too_near(
    words: tuple[str, ...], steps: Iterable[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.install(monkeypatch)
    loop = Loop.__new__(Loop)
    loop.cfg = toy.cfg_of(*words)
    due = []
    for step in range(1, loop.cfg.steps):
        loop.step = step
        due += [step] * loop._look_due()
    assert due == list(steps)


def test_the_command_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def started(cfg: Any, out: Path, **more: Any) -> Run:
        given.update(more)
        return Run(out, 1, "finished", 0, 0.0)

    monkeypatch.setattr("avssl.train.run.start", started)
    assert run(["train", "l3_net", "data=films", "-o", str(tmp_path / "x")]) == 0
    assert given["watch"] == given["evaluate"].watch
