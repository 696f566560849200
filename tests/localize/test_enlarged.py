"""Pictures looked at in several sizes: small things are found, in their place, and nothing changes for one size."""

import itertools

import numpy as np
import pytest
import torch
from bright import CFG, Bright

from avssl.data.encode import write_clip
from avssl.inputs import Inputs
from avssl.localize.enlarged import check_sizes, highest, in_sizes, unsqueezed
from avssl.localize.heatmap import heatmaps


class Wide(Bright):
    """Knows bright things of one size: a cell of 16 pixels, marked where all of it is bright."""

    localizes = ("audio",)

    def __init__(self):
        super().__init__()
        self.seen = []

    def localize(self, video, query, modality):
        self.seen.append(tuple(video.shape[-2:]))
        return torch.nn.functional.avg_pool2d(video.float().mean(2) / 255, 16)


@pytest.mark.parametrize("wrong", [(), (0.0,), (9.0,), (1.0, 1.0), (float("nan"),), (-2.0, 1.0)])
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"sizes must be different numbers from 0\.25 to 8"):
        check_sizes(wrong)


def test_each_size_is_the_mean_of_what_it_covers():
    video = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(1, 2, 3, 4, 4)
    half, whole = in_sizes(video, (1, 2))
    assert whole is video
    assert half.dtype == torch.uint8
    literal = [[video[0, 1, 2, y : y + 2, x : x + 2].float().mean().round() for x in (0, 2)] for y in (0, 2)]
    assert half[0, 1, 2].tolist() == literal


def test_each_place_has_its_highest_score_on_the_finest_grid():
    coarse, fine = torch.zeros(2, 3, 1, 1), torch.full((2, 3, 2, 2), -1.0)
    fine[1, 2, 0, 1] = 5.0
    found = highest([coarse, fine])
    assert found.shape == (2, 3, 2, 2)
    assert found[1, 2].tolist() == [[0.0, 5.0], [0.0, 0.0]]
    assert highest([fine]) is fine


def test_what_is_small_is_found_in_the_larger_picture(tmp_path):
    frame = np.full((64, 96, 3), 10, dtype=np.uint8)
    frame[32:48, 64:80] = 250  # 8 pixels at the run's size, half a cell; a whole one at twice that
    sound = np.full(2 * 8000, 0.1, np.float32)
    write_clip(tmp_path / "clip.mp4", itertools.repeat(frame, 25), 12.5, sound, 8000, crf=4)
    method = Wide()
    (once,) = heatmaps(method, Inputs(CFG), tmp_path / "clip.mp4", [None])
    assert set(method.seen) == {(32, 48)}
    assert once.maps.max() < 0.4
    (both,) = heatmaps(method, Inputs(CFG), tmp_path / "clip.mp4", [None], sizes=(1, 2))
    assert set(method.seen) == {(32, 48), (64, 96)}
    assert both.maps.shape[1:] == (4, 6)
    assert both.maps.max() > 0.9
    assert np.unravel_index(both.maps[0].argmax(), (4, 6)) == (2, 4)
    with pytest.raises(ValueError, match="sizes must be"):
        heatmaps(method, Inputs(CFG), tmp_path / "clip.mp4", [None], sizes=())


def test_a_picture_gets_the_shape_of_the_recordings_and_no_side_of_it_is_smaller():
    assert unsqueezed(72, 90, (144, 360)) == (72, 180), "two talkers side by side"
    assert unsqueezed(72, 90, (288, 180)) == (144, 90)
    assert unsqueezed(96, 96, (720, 1280)) == (96, 171)
    assert unsqueezed(32, 48, (64, 96)) == (32, 48)


def test_wide_pictures_are_not_squeezed_where_they_keep_their_shape(tmp_path):
    frame = np.full((64, 192, 3), 10, dtype=np.uint8)
    frame[0:32, 160:192] = 250  # a cell of 16 pixels at the run's height, unless squeezed to half its width
    sound = np.full(2 * 8000, 0.1, np.float32)
    write_clip(tmp_path / "clip.mp4", itertools.repeat(frame, 25), 12.5, sound, 8000, crf=4)
    method = Wide()
    (squeezed,) = heatmaps(method, Inputs(CFG), tmp_path / "clip.mp4", [None])
    (whole,) = heatmaps(method, Inputs(CFG), tmp_path / "clip.mp4", [None], keep_shape=True)
    assert set(method.seen) == {(32, 48), (32, 96)}
    assert squeezed.maps.max() < 0.6
    assert whole.maps.shape[1:] == (2, 6)
    assert np.unravel_index(whole.maps[0].argmax(), (2, 6)) == (0, 5)
    assert whole.maps.max() > 0.9
