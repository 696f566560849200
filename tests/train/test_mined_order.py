"""A method that puts items in an order: batches follow it from the epoch that it was made for, stopped or not."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
import toy
from safetensors.torch import load_file

from avssl.train import run

STEPS = 8  # of 4 of 10 items: epochs begin at steps 0, 3, 5


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The items of every step; from the second epoch on, their order is turned by the number of the epoch."""
    toy.install(monkeypatch)
    taken: list[list[int]] = []
    real = toy.Tiny.forward

    def forward(self: toy.Tiny, batch: dict[str, torch.Tensor], turn: str = "main") -> object:
        taken.append(batch["index"].tolist())
        return real(self, batch, turn)

    def order(self: toy.Tiny) -> torch.Tensor | None:
        return torch.arange(toy.ITEMS).roll(int(self.epochs)) if self.epochs > 1 else None

    monkeypatch.setattr(toy.Tiny, "forward", forward)
    monkeypatch.setattr(toy.Tiny, "order", order)
    return taken


def train(out: Path, *words: str) -> run.Run:
    return run.start(toy.cfg_of(f"steps={STEPS}", *words), out, progress=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_follow_the_order_of_their_epoch(seen: list[list[int]], workers: int, tmp_path: Path) -> None:
    train(tmp_path / "whole", f"data.workers={workers}")
    for step in range(3, STEPS):
        turned = torch.arange(toy.ITEMS).roll(2 if step < 5 else 3)
        assert seen[step] == [int(turned[p % toy.ITEMS]) for p in range(4 * step, 4 * step + 4)], step
    assert sorted(seen[0] + seen[1] + seen[2][:2]) == list(range(toy.ITEMS)), "the first epoch is left to chance"


def test_stopped_inside_an_epoch_it_goes_on_in_the_same_order(
    seen: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole")
    monkeypatch.setenv("TINY_STEPS", str(STEPS))
    monkeypatch.setenv("TINY_KILL", f"{int(signal.SIGINT)}@4")
    assert train(tmp_path / "parts").step == 4
    monkeypatch.delenv("TINY_KILL")
    train(tmp_path / "parts")
    assert seen[STEPS:] == seen[:STEPS]
    one, other = (
        load_file(tmp_path / name / "checkpoints/step-000008/model.safetensors") for name in ("whole", "parts")
    )
    assert all(torch.equal(value, other[key]) for key, value in one.items())
