"""Each kind of query has its threshold, chosen on recordings without boxes: own queries against others'."""

import numpy as np
import pytest
import torch
from bright import CFG, FPS, HZ, Bright

from avssl.data.encode import write_clip
from avssl.data.manifest import Manifest, Recording
from avssl.data.narration import Phrase
from avssl.evaluation import scales
from avssl.inputs import Inputs, Vocabulary
from avssl.localize import calibration

COUNT = 10
FILLER = "we had soup for lunch and bread and more of the soup and then some tea"


class Matching(Bright):
    """Recording k is of brightness k: its own sound, of loudness k, scores 1 there; so does a text of k words, 0.1."""

    def __init__(self):
        super().__init__()
        self.encoders = torch.nn.ModuleDict({"audio": torch.nn.Linear(1, 1), "text": torch.nn.Linear(1, 1)})

    def localize(self, video, query, modality):
        seen = video.float().mean((1, 2, 3, 4)) / 255 * 12
        if modality == "audio":
            asked, top = query.square().mean(-1).mul(2).sqrt() * 40, 1.0
        else:
            asked, top = (query >= 0).sum(-1).float(), 0.1
        score = top * (1.0 - 0.2 * (seen - asked).abs())
        return score[:, None, None, None].expand(-1, video.shape[1], 2, 3)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Ten recordings; what is said about one speaks of it or, further away in time, of nothing."""
    folder, held = tmp_path_factory.mktemp("world"), []
    for k in range(1, COUNT + 1):
        path = folder / f"{k}.mp4"
        frame = np.full((32, 48, 3), round(k / 12 * 255), np.uint8)
        sound = k / 40 * np.sin(2 * np.pi * 440 * np.arange(2 * HZ) / HZ).astype(np.float32)
        write_clip(path, [frame] * 25, FPS, sound, HZ)
        said = (Phrase(0.5, 1.5, " ".join("b" * k)), Phrase(0.0, 0.4, f"{FILLER} {k}"))
        held.append(
            Recording(
                key=str(k), path=path.name, sha256="", seconds=2.0, video={"width": 48, "height": 32},
                audio={"hz": HZ}, narration=said, labels={"kind": f"kind {k % 3}"}, split="val",
            )
        )  # fmt: skip
    return Manifest(tuple(held), root=folder)


def inputs():
    return Inputs(
        CFG.model_copy(update={"tokens": 16}), Vocabulary.train(["bell", "soup for lunch and more of it"], 40)
    )


@pytest.mark.parametrize(("kind", "top"), [("audio", 1.0), ("text", 0.1)])
def test_own_queries_score_above_others(world, kind, top):
    own, other = scales.peaks(Matching(), inputs(), world, world.split("val"), kind)
    assert len(own) == COUNT
    assert own == pytest.approx([top] * COUNT, abs=0.06 * top)
    assert len(other) == COUNT - 1, "the first has no earlier one"
    assert max(other) < 0.9 * top, "the neighbour in number, of another kind"


def test_each_kind_keeps_its_own_threshold(world, tmp_path):
    method, given = Matching(), inputs()
    scales.keep(tmp_path, "abc", method, given, world, world.split("val"), ("text",))
    assert calibration.load(tmp_path, "abc") is None
    scales.keep(tmp_path, "abc", method, given, world, world.split("val"), ("audio", "text"))
    sound, text = (calibration.load(tmp_path, "abc", kind) for kind in ("audio", "text"))
    assert 0.9 < sound.threshold <= 1.0
    assert 0.09 < text.threshold <= 0.1
    assert "own phrases" in text.chosen
    assert "90% of validation" in sound.chosen


def test_nothing_is_chosen_on_a_few_recordings_or_for_what_is_not_localized(world, tmp_path):
    scales.keep(tmp_path, "abc", Matching(), inputs(), world, world.split("val")[:7], ("audio", "text"))
    deaf = Matching()
    deaf.localizes = ()
    scales.keep(tmp_path, "abc", deaf, inputs(), world, world.split("val"), ("audio", "text"))
    mute = Matching()
    del mute.encoders["text"]
    scales.keep(tmp_path, "abc", mute, inputs(), world, world.split("val"), ("text",))
    scales.keep(tmp_path, "abc", Matching(), inputs(), world, [], ("audio", "text"))
    assert not (tmp_path / calibration.FILE).exists()
