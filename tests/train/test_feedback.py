"""Held-out figures: what is found again is counted, bf16 or not; nothing held out gives nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch import Generator, Tensor, nn

from avssl import encoders
from avssl.cli._feedback import MOST, Feedback, Whole, _collapse, _recall, _spread, embedded
from avssl.config import InputsConfig
from avssl.data.loader import Loader
from avssl.data.manifest import Manifest
from avssl.inputs import Inputs, Vocabulary
from avssl.sample import Sample


class Known(nn.Module):
    """Embeds sound at its item's own corner, pictures so too but for the first two, which are exchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def embed(self, modality: str, x: Tensor, space: str) -> Tensor:
        place = x[:, 0].long()
        if modality == "image":
            place = torch.where(place < 2, 1 - place, place)
        return torch.eye(16)[place].to(torch.bfloat16)


class Numbers:
    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        text = torch.tensor([sample.index if sample.index % 2 else -1])
        audio = torch.tensor([sample.index], dtype=torch.bfloat16)  # as sound comes from workers under bf16
        return {"image": torch.tensor([sample.index]), "audio": audio, "text": text}


def held(count: int) -> Loader:
    return Loader(toy.MadeUp(count), Numbers(), batch=4, seed=0, workers=0, length=count)


def test_recall_counts_what_is_found_again() -> None:
    found = _recall(embedded(Known(), held(12), ("image", "audio"), "main"))  # type: ignore[arg-type]
    assert found["image_to_audio_r1"] == found["audio_to_image_r1"] == pytest.approx(10 / 12)
    # the two that miss are tied with ten others behind the wrong one: places 2 to 12, each as likely
    assert found["items"] == 12
    assert found["chance"] == pytest.approx(sum(1 / rank for rank in range(1, 13)) / 12)
    assert found["score"] == pytest.approx((10 + 2 * sum(1 / rank for rank in range(2, 13)) / 11) / 12)


def test_items_without_words_are_no_text_queries() -> None:
    found = _recall(embedded(Known(), held(12), ("audio", "text"), "main"))  # type: ignore[arg-type]
    assert found["text_to_audio_r1"] == 1.0


def test_at_most_so_many_are_looked_at() -> None:
    places = _spread(held(3 * MOST))
    assert len(places) == MOST
    assert places[:3] == [0, 3, 6]


def test_whole_gives_each_modality_once() -> None:
    cfg = InputsConfig(height=16, width=16, frames=2, fps=4, audio_seconds=0.5, mels=16, tokens=4)
    inputs = Inputs(cfg, Vocabulary.train(["a bell"], 32))
    parts: dict[str, Any] = {
        "video": torch.zeros(1, 2, 3, 16, 16, dtype=torch.uint8), "audio": torch.zeros(1, 8000), "text": ("a bell",),
    }  # fmt: skip
    made = Whole(inputs, ("image", "video", "audio", "text"))(Sample("x", 0, (0.0,), parts), Generator(), 1.0)
    shapes = {key: tuple(value.shape) for key, value in made.items()}
    assert shapes == {"image": (3, 16, 16), "video": (2, 3, 16, 16), "audio": (50, 16), "text": (4,)}


def test_nothing_held_out_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.install(monkeypatch)
    Manifest((), (), tmp_path).save(tmp_path / "m.jsonl")
    (tmp_path / "run.json").write_text(json.dumps({"manifest": str(tmp_path / "m.jsonl")}))
    cfg = toy.cfg_of()
    encoder = encoders.build(cfg.encoders, ["image"])
    method = toy.Tiny(toy.Config(), Inputs(cfg.inputs), encoder, 4)
    feedback = Feedback(cfg, tmp_path)
    assert feedback(method, 3) == {}
    assert feedback(method, 6) == {}


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
    """Every second item says nothing, which has one vector; the others differ."""
    found = _collapse(embedded(Known(), held(16), ("audio", "text"), "main"), 1)  # type: ignore[arg-type]
    assert found["collapse/text_twins"] == 0.0
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
