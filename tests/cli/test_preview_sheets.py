"""``avssl preview`` of every method there is: a sheet with all that the method is given, of made-up items."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
from contract import tiny
from matplotlib.image import imread
from probe import laid
from torch import Generator

from avssl.cli import run
from avssl.data.manifest import Manifest
from avssl.report import made, sheet

KINDS = {"image": "picture", "video": "picture", "audio": "spectrogram", "text": "text"}
"""modality -> how the sheet draws it"""
ASKED = {
    "rotation": "label", "jigsaw": "label", "context_prediction": "label", "relative_transformation": "target",
    "supervised": "label", "sync_offset": "offset", "denoising_autoencoder": "clean", "context_encoder": "missing",
    "masked_part": "judged", "colorization": "colors", "split_brain": "colors",
}  # fmt: skip
"""method -> the part of its sheet that it must answer with, where that is no other view or sense of the item"""


class Held(tiny.MadeUp):
    """The made-up items in place of recordings."""

    def __len__(self):
        return len(self.items)


@pytest.fixture
def drawn(monkeypatch):
    """Name of each part that is drawn -> its panels, while recordings are made up."""
    panels, draw = defaultdict(list), sheet._draw

    def watched(axes, panel, inputs):
        panels[panel.note.split()[0]].append(panel)
        draw(axes, panel, inputs)

    said = [SimpleNamespace(text=phrase) for index in range(tiny.ITEMS) for phrase in tiny.phrases(index, 4)]
    held = SimpleNamespace(recordings=[SimpleNamespace(narration=said, key="made up", split="train", is_picture=False)])
    monkeypatch.setattr(sheet, "_draw", watched)
    monkeypatch.setattr(Manifest, "load", lambda path: held)
    monkeypatch.setattr(made, "Items", lambda *given: SimpleNamespace(classes=[f"kind {k}" for k in range(tiny.ITEMS)]))
    monkeypatch.setattr(made, "Source", lambda items, needs: Held(needs))
    return panels


@pytest.mark.parametrize("name", tiny.names())
def test_the_sheet_shows_all_that_the_method_is_given(name, drawn, tmp_path):
    path, words = tmp_path / "sheet.png", [*tiny.SIZES, *tiny.OWN.get(name, ()), "data=made-up.jsonl"]
    assert run(["preview", name, *words, "-o", str(path), "--examples", "1"]) == 0
    assert imread(path)[..., :3].std() > 0.02, "an empty sheet"
    this = tiny.run(name)
    given = this.kind.preview(this.cfg.method, this.inputs)(tiny.sample(this.needs, 0), Generator(), 0.0)
    made_of_it = set(drawn) - set(given)
    assert set(drawn) - made_of_it == set(given) - sheet.HIDDEN
    assert bool(made_of_it) == hasattr(this.kind, "show"), "what is hidden is shown, before the first step too"
    assert all(len(panels) == 1 for panels in drawn.values())
    shown = [panel for panels in drawn.values() for panel in panels]
    asked = {"picture"} if this.needs.streams else {KINDS[modality] for modality in this.kind.modalities}
    assert asked <= {panel.kind for panel in shown}, "each sense is drawn as what it is"
    levels = [np.asarray(panel.values, np.float64) for panel in shown if panel.kind != "text"]
    assert all(np.isfinite(x).all() for x in levels)
    assert levels[0].std() > 0, "what it is given is no blank"
    assert name not in ASKED or ASKED[name] in drawn


def test_examples_are_of_what_is_learnt_from_and_each_is_shown_once(tmp_path, monkeypatch, capsys):
    for place in ("train/cat/a", "train/dog/b", "train/dog/c", "test/cat/d"):
        laid.picture(tmp_path / "pictures" / f"{place}.png", 20 + 40 * "abcd".index(place[-1]))
    names = []
    monkeypatch.setattr(sheet, "draw", lambda path, title, examples, keys, *rest: names.extend(keys))
    words = ["preview", "rotation", f"data={tmp_path / 'pictures'}", "inputs.height=32", "inputs.width=32"]
    assert run([*words, "-o", str(tmp_path / "s.png"), "--examples", "9"]) == 0
    assert sorted(names) == ["train/cat/a", "train/dog/b", "train/dog/c"]
    assert "9 examples were asked for, and" in capsys.readouterr().err


def test_a_label_is_told_by_its_name(tmp_path, monkeypatch):
    for place in ("train/cat/a", "train/dog/b"):
        laid.picture(tmp_path / "pictures" / f"{place}.png", 20 + 40 * "ab".index(place[-1]))
    told = []
    monkeypatch.setattr(sheet, "draw", lambda path, title, examples, keys, inputs, said: told.extend(said))
    words = ["preview", "supervised", f"data={tmp_path / 'pictures'}", "data.labels=folders"]
    assert run([*words, "inputs.height=32", "inputs.width=32", "-o", str(tmp_path / "s.png")]) == 0
    assert told == [{"label": "cat"}, {"label": "dog"}]


def test_without_recordings_the_made_up_world_has_two_ears(tmp_path):
    small = ("inputs.audio_seconds=0.5", "inputs.mels=16")
    assert run(["preview", "paired_contrast_stereo", *small, "-o", str(tmp_path / "s.png"), "--examples", "1"]) == 0
    assert imread(tmp_path / "s.png")[..., :3].std() > 0.02


def test_a_run_whose_recordings_are_gone_asks_for_others(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    config = "method: {name: simclr}\ndata: {manifest: gone/x.jsonl}\n"
    (tmp_path / "run" / "config.yaml").write_text(config)
    assert run(["preview", str(tmp_path / "run"), "-o", str(tmp_path / "s.png")]) == 2
    told = f"error: gone/x.jsonl, which {tmp_path / 'run'} learnt from, is not there (any more); say data=FOLDER or "
    assert capsys.readouterr().err.startswith(told)
