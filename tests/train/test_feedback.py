"""Held-out figures: what is found again is counted, bf16 or not; nothing held out gives nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from known import Known, Numbers, held
from torch import Generator, Tensor

from avssl import encoders
from avssl.cli._feedback import Feedback, Whole, _collapse, _recall, _spread, embedded
from avssl.config import InputsConfig
from avssl.data.loader import Loader
from avssl.data.manifest import Manifest
from avssl.evaluation.task import MOST
from avssl.inputs import Inputs, Vocabulary
from avssl.sample import Sample
from avssl.train.log import Log


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


class Mute:
    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        return {"video": torch.tensor([sample.index]), "text": torch.tensor([-1])}


def test_where_nothing_is_said_there_is_no_figure_and_why_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = list(Loader(toy.MadeUp(4), Mute(), batch=4, seed=0, workers=0, length=4).batches_in_order())
    seen = embedded(Known(), batches, ("video", "text"), "main")  # type: ignore[arg-type]
    assert _recall(seen) == {}
    log, kept = Log(tmp_path, step=0, steps=9, progress=True, write=True), _collapse(seen, 1)
    assert kept, "what needs no text is still told"
    log.held_out(1, kept, judged=False)
    log.held_out(2, kept)
    log.held_out(3, kept)
    log.close()
    told = capsys.readouterr()
    nothing = "no held-out figures: the val split (a folder val/) has no recording that this method can use"
    assert (told.out + told.err).splitlines() == [nothing]


def test_at_most_so_many_are_looked_at() -> None:
    loader = Loader(toy.MadeUp(3 * MOST), Numbers(), batch=4, seed=0, workers=0, length=3 * MOST)
    places = _spread(loader, MOST)
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
