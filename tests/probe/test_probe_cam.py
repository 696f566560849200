"""Class activation maps of a linear probe: they add up to its score, and peak where the class is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contract import tiny
from matplotlib.figure import Figure
from probe.labeled import colored, split, study
from torch import nn

from avssl import encoders
from avssl.config import EncoderConfig
from avssl.data.encode import write_clip
from avssl.encoders import Features
from avssl.localize.heatmap import heatmap
from avssl.localize.masks import upsample
from avssl.probe import cam, linear
from avssl.probe.decoded import Decoded
from avssl.probe.linear import Probe

SPEC = EncoderConfig(width=32)


class Colors(nn.Module):
    """Red, green and blue of each cell: what a class activation map of a colour must be is known."""

    width = 3

    def __init__(self, *_):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        maps = nn.functional.avg_pool2d(x.float() / 255, 4) * self.scale
        return Features(maps.mean((2, 3)), (maps,))


@pytest.fixture(scope="module")
def colors():
    """A linear probe on an encoder that sees colour, and pictures with a patch of the class's colour."""
    data = split(90, 3)
    x = colored(data, seed=4)
    one = study(data, x)
    for method in (one.method, one.fresh):
        method.encoders["image"] = Colors()
    (cut,) = one.rounds(1.0)
    fitted = linear.fit(one.vectors("trained"), data.labels, cut, 3)
    return one, fitted, cut


def test_the_mean_of_a_map_is_the_probes_score(colors):
    one, fitted, cut = colors
    found = cam.ClassMaps(one.method, fitted, "image").eval()
    with torch.no_grad():
        maps = found.maps(one.decoded.batch(cut.test))
    assert maps.shape == (len(cut.test), 3, 8, 8)
    np.testing.assert_allclose(maps.mean((2, 3)), fitted.scores(one.vectors("trained")[cut.test]), rtol=1e-3, atol=1e-3)


def test_a_map_peaks_where_its_class_is(colors):
    one, fitted, cut = colors
    found = cam.ClassMaps(one.method, fitted, "image").eval()
    hits = 0
    for place in cut.test:
        x, label = one.decoded.batch(np.array([place])), one.data.labels[place]
        with torch.no_grad():
            scores = found.maps(x)[0, label].double().numpy()
        patch = x[0, label] > 200  # noise is darker
        row, column = np.unravel_index(upsample(scores, (32, 32)).argmax(), (32, 32))
        hits += bool(patch[row, column])
    assert hits / len(cut.test) > 0.9, "a quarter of the picture is the patch: by chance 25 %"


def test_localize_runs_maps_of_a_named_class_over_a_video(colors, tmp_path):
    one, fitted, _ = colors
    frames = [np.full((32, 32, 3), 120, np.uint8) for _ in range(16)]
    for k, frame in enumerate(frames):  # red goes from left to right
        frame[8:24, k : k + 16] = (230, 30, 30)
    write_clip(tmp_path / "red.mp4", iter(frames), 8.0)
    method = cam.ClassMaps(one.method, fitted, "image")
    names = cam.ClassNames(one.method.inputs, ["red", "green", "blue"])
    heat = heatmap(method, names, tmp_path / "red.mp4", query="red")
    columns = heat.maps.max(1)  # [T, w]
    centers = [float(np.average(np.arange(8), weights=row - row.min())) for row in columns]
    assert len(heat.times) == 16
    assert centers[-1] > centers[0] + 2
    with pytest.raises(ValueError, match="no class of the probe"):
        cam.ClassNames(one.method.inputs, ["red"]).tokens(["pink"])


def test_maps_that_do_not_sum_up_to_the_vector_are_refused(colors, monkeypatch):
    one, fitted, _ = colors
    other = Features(torch.ones(2, 3), (torch.rand(2, 3, 8, 8),))
    monkeypatch.setattr(Colors, "forward", lambda self, x: other)
    with pytest.raises(ValueError, match="not the mean of its map"):
        cam.ClassMaps(one.method, fitted, "image").maps(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match="sees none"):
        cam.ClassMaps(one.method, fitted, "audio")


def test_frame_by_frame_and_clip_encoders_give_maps_over_time():
    run = tiny.run("trimodal")
    method = run.method().eval()
    width = encoders.width(method.encoders["video"])
    fitted = Probe(np.random.default_rng(0).normal(size=(2, width)), np.zeros(2), 1.0, 1.0, False, True)
    found = cam.ClassMaps(method, fitted, "video").eval()
    x = run.x("video", 3)
    with torch.no_grad():
        scores = found.localize(x, torch.tensor([[0], [1], [1]]), "text")
    assert scores.shape[:2] == x.shape[:2]
    assert scores.isfinite().all()


def test_a_sheet_of_maps_is_drawn(colors, tmp_path):
    one, fitted, cut = colors
    found = cam.ClassMaps(one.method, fitted, "image").eval()
    places = cut.test[:3].tolist()
    cam.sheet(tmp_path / "cam.png", found, one.decoded, places, ["red", "green", "blue"], [0, 1, 2], [0, 1, 1])
    assert (tmp_path / "cam.png").read_bytes().startswith(b"\x89PNG")


def test_a_sheet_names_and_lights_the_predicted_class_and_then_the_true_one(monkeypatch, tmp_path):
    scores = torch.zeros(1, 2, 4, 4)
    scores[0, 0, :, :1] = scores[0, 1, :, 3:] = 1
    found, drawn = SimpleNamespace(maps=lambda x: scores, weights=scores), []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    data = Decoded("image", np.full((1, 3, 16, 16), 60, np.uint8), np.array([0]), tiny.run("simclr").inputs)
    cam.sheet(tmp_path / "cam.png", found, data, [0], ["left", "right"], [0], [1])
    shown = [
        (axes.get_ylabel(), axes.get_title(), np.array(axes.images[0].get_array()))
        for axes in drawn[0].axes
        if axes.images
    ]
    lit = [(row, name, [bool((x[:, k] != 60).any()) for k in (0, 15)]) for row, name, x in shown]
    assert lit[0] == ("picture", "", [False, False])
    assert lit[1] == ("predicted", "left", [True, False])
    assert lit[2] == ("fitted to edges", "", [True, False])
    assert lit[3] == ("true class", "right", [False, True])


@pytest.mark.parametrize("guessed", [[0, 1, 2], [0, 1, 1]])
def test_a_sheet_tells_whose_maps_it_shows_and_what_their_colors_mean(colors, tmp_path, monkeypatch, guessed):
    one, fitted, cut = colors
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    found = cam.ClassMaps(one.method, fitted, "image").eval()
    given = (cut.test[:3].tolist(), ["red", "green", "blue"], guessed, [0, 1, 1])
    cam.sheet(tmp_path / "cam.png", found, one.decoded, *given, title="runs/x on sets/colors")
    (figure,) = drawn
    assert figure.get_suptitle() == "runs/x on sets/colors" + (
        "\nred letters: named wrongly" if guessed[2] == 2 else ""
    )
    bar = figure.axes[-1]
    assert bar.get_ylabel() == "score of the class there (lower: the picture as it is)"
    assert len(figure.axes) == 4 * 3 + 1


def test_a_sheet_has_one_scale_and_a_class_that_is_hardly_seen_stays_dark():
    strong, faint = np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.2)
    strong[0, 1:3, 1:3] = 1.0
    scale = cam.scale_of([strong, faint])
    assert (scale.threshold, scale.ceiling) == (0.5, 1.0)
    frame = np.full((16, 16, 3), 60, np.uint8)
    frame[4:12, 4:12] = 200
    assert np.array_equal(cam._lit(frame, faint[0], scale), frame)
    mask = cam._fitted(frame, strong[0], scale) >= scale.threshold
    assert np.array_equal(mask, frame[..., 0] == 200), "what is lit ends at the edges of the picture"
    assert cam.scale_of([faint]) is None
