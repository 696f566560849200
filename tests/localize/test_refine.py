"""The CRF agrees with its equations written out, its quick form with the exact one, and it finds a square's edges."""

import math

import numpy as np
import pytest

from avssl.data.encode import write_clip
from avssl.localize.calibration import Calibration
from avssl.localize.heatmap import Heat
from avssl.localize.lattice import Lattice
from avssl.localize.refine import Crf, mean_field, sharpen, snap

SCALE = Calibration(0.5, 1.0, "d", "by hand")


def literal(energies, picture, crf):
    """Mean field as the paper writes it, pixel by pixel."""
    labels, height, width = energies.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]

    def kernels(a, b):
        place = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
        colour = sum((float(picture[a][c]) - float(picture[b][c])) ** 2 for c in range(3))
        return (
            math.exp(-place / (2 * crf.appearance_pixels**2) - colour / (2 * crf.colour**2)),
            math.exp(-place / (2 * crf.smoothness_pixels**2)),
        )

    sums = {a: [sum(kernels(a, b)[m] for b in pixels) for m in range(2)] for a in pixels}
    q = {a: [math.exp(-energies[(k, *a)]) for k in range(labels)] for a in pixels}
    q = {a: [v / sum(row) for v in row] for a, row in q.items()}
    for _ in range(crf.steps):
        new = {}
        for a in pixels:
            raised = []
            for label in range(labels):
                paid = 0.0
                for other in range(labels):
                    if other == label:
                        continue
                    for b in pixels:
                        if b == a:
                            continue
                        for m, weight in enumerate((crf.appearance, crf.smoothness)):
                            root = math.sqrt(sums[a][m] * sums[b][m]) if crf.normalized else 1.0
                            paid += weight * kernels(a, b)[m] / root * q[b][other]
                raised.append(math.exp(-energies[(label, *a)] - paid))
            new[a] = [v / sum(raised) for v in raised]
        q = new
    return np.array([[[q[(y, x)][k] for x in range(width)] for y in range(height)] for k in range(labels)])


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(("labels", "height", "width"), [(2, 1, 4), (2, 4, 3), (3, 3, 5)])
def test_equals_the_equations_written_out(labels, height, width, normalized):
    rng = np.random.default_rng(height)
    picture = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
    energies = rng.uniform(0, 2, (labels, height, width))
    crf = Crf(0.7, 3.0, 20.0, 0.4, 1.2, steps=3, normalized=normalized)
    beliefs = mean_field(energies, picture, crf)
    np.testing.assert_allclose(beliefs, literal(energies, picture, crf), atol=1e-10)
    np.testing.assert_allclose(beliefs.sum(0), 1.0)


def pictures(height=30, width=34):
    y, x = np.mgrid[:height, :width]
    flat = np.full((height, width, 3), (60, 70, 80), dtype=np.uint8)
    flat[6:20, 8:26] = (200, 40, 50)
    smooth = np.stack([255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 7)], axis=-1).astype(np.uint8)
    return {"flat": flat, "smooth": smooth}


def blob(height=30, width=34, at=(14, 20), wide=6.0):
    y, x = np.mgrid[:height, :width]
    return np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * wide**2))


def test_the_lattice_gives_means_near_the_exact_ones():
    y, x = np.mgrid[:20, :24].reshape(2, -1).astype(float)
    points = np.stack([y, x], axis=1) / 3
    values = np.random.default_rng(0).random(len(points))
    apart = ((points[:, None] - points[None]) ** 2).sum(-1)
    kernel = np.exp(-apart / 2)
    lattice = Lattice(points)
    mean = lattice(values) / lattice(np.ones(len(points)))
    assert np.abs(mean - kernel @ values / kernel.sum(1)).max() < 0.05
    total = lattice(np.ones(len(points))) / kernel.sum(1)
    assert 0.6 < total.min() <= total.max() < 1.1
    alone = Lattice(np.array([[0.0, 0.0], [50.0, 0.0]]))
    assert alone(np.array([1.0, 0.0]))[1] == 0.0, "far points do not hear each other"
    with pytest.raises(ValueError, match="too far apart"):
        Lattice(np.array([[0.0] * 5, [1e6] * 5]))


@pytest.mark.parametrize("name", ["flat", "smooth"])
def test_the_quick_form_gives_nearly_all_pixels_the_exact_label(name):
    picture, odds = pictures()[name], 3 * np.clip(2 * blob() - 1, -1, 1)
    energies = np.stack([-odds, 0 * odds])
    exact, quick = (mean_field(energies, picture, exact=way) for way in (True, False))
    assert np.mean((exact[0] > 0.5) == (quick[0] > 0.5)) > 0.98


@pytest.mark.parametrize("exact", [True, False])
def test_a_blurry_blob_snaps_to_the_square(exact, monkeypatch):
    monkeypatch.setattr("avssl.localize.refine.EXACT_PIXELS", 10**6 if exact else 0)
    square = np.zeros((30, 34), bool)
    square[6:20, 8:26] = True
    scores = blob(wide=7.0)
    before, after = scores >= 0.5, snap(scores, pictures()["flat"], SCALE) >= 0.5

    def iou(mask):
        return (mask & square).sum() / (mask | square).sum()

    assert iou(before) < 0.6
    assert iou(after) > 0.9


def test_edges_do_not_put_out_a_whole_moment():
    """A part of the square scores just above the threshold, among places that score far below."""
    faint = np.where(blob(at=(13, 17), wide=3.0) >= 0.5, 0.56, 0.0)
    odds = 3 * np.clip(2 * faint - 1, -1, 1)
    assert mean_field(np.stack([-odds, 0 * odds]), pictures()["flat"])[0].max() < 0.5
    assert np.array_equal(snap(faint, pictures()["flat"], SCALE), faint)


def test_nothing_is_lit_that_was_dark(tmp_path):
    frame = pictures(48, 64)["flat"]
    write_clip(tmp_path / "clip.mp4", [frame] * 6, 5.0, crf=4)
    maps = np.zeros((6, 6, 8))
    maps[3:, 1:3, 1:4] = 0.9
    heat = Heat(maps, np.arange(6) / 5, np.full(6, -60.0))
    done = []
    fitted = sharpen(tmp_path / "clip.mp4", heat, SCALE, progress=done.append)
    assert fitted.maps.shape == (6, 72, 96)
    assert fitted.maps[:3].max() == 0.0
    square = np.zeros((72, 96), bool)
    square[9:30, 12:39] = True
    for lit in fitted.maps[3:] >= 0.5:
        assert (lit & square).sum() / (lit | square).sum() > 0.8  # 0.51 for the map as it was
    assert done == [1.0]
    long = Heat(np.zeros((9000, 1, 1)), np.arange(9000) / 5, np.zeros(9000))
    with pytest.raises(ValueError, match="too long to refine"):
        sharpen(tmp_path / "clip.mp4", long, SCALE)


def test_energies_must_fit_the_picture():
    with pytest.raises(ValueError, match="energies of 2 x 3"):
        mean_field(np.zeros((2, 2, 3)), np.zeros((3, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="NaN or infinity"):
        mean_field(np.full((2, 2, 3), np.inf), np.zeros((2, 3, 3), np.uint8))
