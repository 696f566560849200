"""The sheet draws every tensor as what it is."""

import matplotlib.image
import numpy as np
import pytest
import torch

from avssl.config import InputsConfig
from avssl.inputs import Inputs, Vocabulary
from avssl.report import sheet
from avssl.report.sheet import draw, panel, tile


@pytest.fixture
def inputs():
    words = Vocabulary.train(["the bell rings", "a dog"], 60)
    return Inputs(InputsConfig(height=32, width=32, mels=16, tokens=8), words)


def test_panels(inputs):
    clip = torch.randint(0, 255, (5, 3, 32, 32), dtype=torch.uint8)
    assert panel("video", clip, inputs).kind == "picture"
    assert panel("video", clip, inputs).values.shape == (32, 5 * 35 - 3, 3)
    assert panel("views", clip[None].expand(2, -1, -1, -1, -1), inputs).values.shape == (2 * 35 - 3, 5 * 35 - 3, 3)
    assert panel("view", torch.rand(3, 24, 24), inputs).kind == "picture"
    assert panel("depth", torch.rand(5, 1, 16, 16), inputs).kind == "picture", "not a spectrogram of 16 bands"
    sound = panel("audio", torch.rand(40, 16), inputs)
    assert sound.kind == "spectrogram"
    assert sound.values.shape == (16, 40)
    assert panel("audio", torch.rand(4, 40, 16), inputs).note == "audio  4x40x16, 4 after one another"
    said = panel("tokens", inputs.tokens(["the bell rings", ""]), inputs)
    assert (said.kind, said.values) == ("text", "“the bell rings”")
    assert panel("wave", torch.rand(16000), inputs).kind == "wave"
    assert panel("label", torch.tensor(7), inputs).values == "7"
    assert panel("mask", torch.rand(12, 12) > 0.5, inputs).kind == "picture"


def test_tiles_keep_their_pixels_and_order():
    pictures = np.stack([np.full((3, 8, 8), k * 20, np.uint8) for k in range(9)])
    row = tile(pictures)
    assert [int(row[4, 11 * k + 4, 0]) for k in range(9)] == [k * 20 for k in range(9)]
    assert (row[:, 8:11] == 255).all()
    long = tile(np.stack([np.full((3, 8, 8), k, np.uint8) for k in range(40)]))
    assert long.shape[1] == 8 * 11 - 3
    assert long[0, 0, 0] == 0
    assert long[0, -1, 0] == 39


def test_a_sheet_is_written(inputs, tmp_path):
    example = {
        "video": torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8), "audio": torch.rand(40, 16),
        "tokens": inputs.tokens(["the bell rings $ \\frac{1} $", "a dog"]), "label": torch.tensor(3),
        "recording": torch.tensor(0),
    }  # fmt: skip
    draw(tmp_path / "sheet.png", "plain: what it is given", [example, example], ["a", "b"], inputs)
    picture = matplotlib.image.imread(tmp_path / "sheet.png")
    assert picture.shape[0] > 200
    assert picture.shape[1] > 500
    assert picture[..., :3].std() > 0.05


def test_a_sheet_says_what_numbers_mean(inputs, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(sheet, "_draw", lambda axes, panel, inputs: drawn.append(panel))
    example = {"offset": torch.tensor(3), "view": torch.rand(3, 24, 24)}
    draw(tmp_path / "sheet.png", "meant", [example, example], ["a", "b"], inputs, [{"offset": "0.30 s late"}, {}])
    assert [one.values for one in drawn if one.kind == "text"] == ["3: 0.30 s late", "3"]


def test_a_white_picture_has_an_end(inputs, tmp_path):
    draw(tmp_path / "sheet.png", "mask", [{"mask": torch.ones(24, 24)}], ["a"], inputs)
    picture = matplotlib.image.imread(tmp_path / "sheet.png")[..., :3].mean(2)
    lines = (picture[40:] < 0.95).mean(1) > 0.15
    assert lines.sum() >= 2, "above and below it"
