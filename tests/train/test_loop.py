"""What the loop does in a step: micro-batches, turns, seeds, the learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toy

from avssl.train import loop as loop_file
from avssl.train import run
from avssl.train.loop import Loop


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    toy.install(monkeypatch)


def final(out: Path, step: int = 8) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(out / f"checkpoints/step-{step:06d}/model.safetensors")


def train(out: Path, *words: str, **more: Any) -> None:
    run.start(toy.cfg_of(*words), out, progress=False, **more)


class Fixed:
    """Always the same items, in ``parts`` micro-batches."""

    wait_seconds = 0.0

    def __init__(self, parts: int):
        source, transform = toy.MadeUp(), toy.Pictures()
        rows = [
            transform(source.get(i, torch.Generator()), torch.Generator().manual_seed(i), 0.0)["picture"]
            for i in range(8)
        ]
        self.batches_ = [
            {
                "picture": torch.stack(rows[i::parts]),
                "index": torch.arange(8)[i::parts],
                "recording": torch.arange(8)[i::parts],
            }
            for i in range(parts)
        ]

    def batches(self, first: int, last: int) -> Any:
        return (self.batches_[step % len(self.batches_)] for step in range(first, last))


def test_accumulated_gradients_equal_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("method.drop=0", "method.contrast=false", "optim.name=sgd", "data.batch=8", "steps=4", "optim.lr=0.1")
    real = Loop.run
    results = []
    for parts in (1, 2, 4):

        def with_fixed(self: Loop, parts: int = parts) -> None:
            self.loader = Fixed(parts)
            real(self)

        monkeypatch.setattr(Loop, "run", with_fixed)
        train(tmp_path / str(parts), *words, f"optim.accumulate={parts}")
        results.append(final(tmp_path / str(parts), 4))
    for other in results[1:]:
        for key, value in results[0].items():
            if key != "bank":  # which remembers the last micro-batch
                assert torch.allclose(value, other[key], atol=1e-5), key


def test_seeds_count_micro_batches_and_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    real = torch.manual_seed
    parts: list[tuple[int, ...]] = []
    mix = loop_file.mix
    monkeypatch.setattr(loop_file, "mix", lambda *p: (parts.append(p), mix(*p))[1])
    monkeypatch.setattr(torch, "manual_seed", lambda seed: (seeds.append(seed), real(seed))[1])
    train(tmp_path / "x", "optim.accumulate=2", "method.turns=2", "steps=3", "seed=7")
    forward = [p for p in parts if p[1] == 3]
    assert forward == [(7, 3, 2 * step + m, 0, turn) for step in range(3) for turn in range(2) for m in range(2)]
    assert len(set(seeds)) == len(seeds)


def test_a_critic_leaves_nothing_on_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The critic's backward pass reaches the main turn's parameters, which still move as if it did not exist."""
    words = ("method.turns=2", "optim.name=sgd", "optim.clip=0")
    train(tmp_path / "two", *words)
    real = toy.Tiny.turns
    monkeypatch.setattr(toy.Tiny, "turns", lambda self: {"main": real(self)["main"]})
    train(tmp_path / "one", *words)
    two, one = final(tmp_path / "two"), final(tmp_path / "one")
    for key in two:
        assert torch.equal(two[key], one[key]) == (not key.startswith("critic")), key


def test_gradients_are_clipped_per_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    real = torch.optim.SGD.step

    def step(self: torch.optim.SGD, *args: Any) -> Any:
        every = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat([g.flatten() for g in every]).norm()))
        return real(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    train(tmp_path / "x", "optim.name=sgd", "optim.clip=0.001", "method.turns=2")
    assert len(norms) == 16
    assert max(norms) == pytest.approx(0.001, rel=1e-3)


def test_the_batch_must_divide(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.batch=4 must be a multiple of 3"):
        train(tmp_path / "x", "optim.accumulate=3")


def test_chunks_train_as_the_whole(tmp_path: Path) -> None:
    words = ("method.drop=0", "steps=3", "optim.name=sgd")
    train(tmp_path / "plain", *words)
    train(tmp_path / "chunks", *words, "optim.chunks=3")
    plain, chunks = final(tmp_path / "plain", 3), final(tmp_path / "chunks", 3)
    assert plain.keys() == chunks.keys()
    assert all(torch.allclose(plain[key], chunks[key], atol=1e-5) for key in plain)
    from avssl.train.checkpoint import load_run

    loaded = load_run(tmp_path / "chunks")
    assert torch.equal(loaded.method.state_dict()["head.weight"], chunks["head.weight"])


def test_log_holds_every_step_once(tmp_path: Path) -> None:
    import json

    train(tmp_path / "x", "log_every=3")
    lines = [json.loads(line) for line in (tmp_path / "x/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 3, 6, 8]
    assert all({"loss", "lr", "wait", "time", "worth"} <= set(line) for line in lines)
    assert lines[0]["lr"] == pytest.approx(0.01)
    assert list((tmp_path / "x/tensorboard").iterdir())
