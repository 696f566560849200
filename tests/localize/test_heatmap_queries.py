"""Several queries of one recording: read once, encoded once, each with its own map; and networks of several heads."""

import numpy as np
import pytest
import torch
from bright import CFG, HZ, Bright, recording

from avssl.inputs import Inputs
from avssl.localize.heatmap import heatmap, heatmaps, loudest
from avssl.localize.looking import Looking


def test_queries_by_text_and_by_sound(tmp_path):
    silent = recording(tmp_path / "silent.mp4", 2, sound=False)
    method = Bright()
    inputs = Inputs(CFG)
    with pytest.raises(ValueError, match="--text WORDS or --audio FILE"):
        heatmap(method, inputs, silent)
    sound = recording(tmp_path / "query.mp4", 6, loud=(4.0, 5.0))
    heat = heatmap(method, inputs, silent, query=sound)
    assert heat.maps.max() > 0.2  # the loud second of the six was found
    assert heat.loudness.max() == -60
    again = heatmap(method, inputs, silent, query=np.zeros(HZ, np.float32))
    assert again.maps.max() == 0
    with pytest.raises(ValueError, match="no vocabulary"):
        heatmap(method, inputs, silent, query="the bell")
    with pytest.raises(ValueError, match="empty"):
        heatmap(method, inputs, silent, query=" ")
    method.localizes = ("audio",)
    with pytest.raises(ValueError, match="does not say where a text is"):
        heatmap(method, inputs, silent, query="the bell")


def test_loudest_part_of_a_sound():
    sound = np.array([0, 0, 1, 2, 0, 0], np.float32)
    assert loudest(sound, 2).tolist() == [1, 2]
    assert loudest(sound[:3], 5).tolist() == [0, 0, 1, 0, 0]


def test_several_queries_are_read_once_and_equal_each_alone(tmp_path):
    clip, inputs = recording(tmp_path / "clip.mp4", 3), Inputs(CFG)
    queries = [None, np.full(HZ, 0.3, np.float32), np.zeros(HZ, np.float32)]
    together = heatmaps(Bright(), inputs, clip, queries)
    for query, heat in zip(queries, together, strict=True):
        alone = heatmap(Bright(), inputs, clip, query=query)
        np.testing.assert_array_equal(heat.maps, alone.maps)
        assert np.array_equal(heat.times, alone.times)
    assert not np.array_equal(together[0].maps, together[2].maps)


class Counting(torch.nn.Module):
    """An encoder of pictures that counts."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def forward(self, x):
        self.times += 1
        return x.float().mean(2) / 255


class Encoding(Bright):
    """The same by way of an encoder."""

    def __init__(self):
        super().__init__()
        self.encoders["video"] = Counting()

    def localize(self, video, query, modality):
        loud = query.float().square().mean(-1).sqrt()
        seen = self.encoders["video"](video) + self.encoders["video"](video.flip(1)).flip(1)
        return torch.nn.functional.avg_pool2d(seen / 2, 8) * loud[:, None, None, None]


def test_pictures_are_encoded_once_for_all_queries(tmp_path):
    clip, inputs, method = recording(tmp_path / "clip.mp4", 1), Inputs(CFG), Encoding()
    queries = [np.full(HZ, volume, np.float32) for volume in (0.1, 0.2, 0.3)]
    heats = heatmaps(method, inputs, clip, queries)
    assert method.encoders["video"].times == 1 + 3, "the turned pictures are others each time"
    for query, heat in zip(queries, heats, strict=True):
        np.testing.assert_allclose(heat.maps, heatmap(Bright(), inputs, clip, query=query).maps, rtol=1e-5)
    assert "forward" not in vars(method.encoders["video"])


class Headed(Bright):
    """The first head marks what is bright by the sound's loudness, the second half as much everywhere."""

    def heads(self, video, query, modality):
        first = super().localize(video, query, modality)
        return torch.stack([first, torch.full_like(first, 0.5) * first.amax((1, 2, 3), keepdim=True)], 1)

    def localize(self, video, query, modality):
        return self.heads(video, query, modality).amax(1)


def test_each_head_has_its_map(tmp_path):
    clip, inputs = recording(tmp_path / "clip.mp4", 2), Inputs(CFG)
    first, second, quiet, _ = heatmaps(Headed(), inputs, clip, [None, np.full(HZ, 0.1, np.float32)], heads=True)
    (both,) = heatmaps(Headed(), inputs, clip, [None])
    np.testing.assert_allclose(np.maximum(first.maps, second.maps), both.maps, rtol=1e-6)
    assert np.ptp(second.maps[2]) == 0 < np.ptp(first.maps[2])
    assert quiet.maps.max() < first.maps.max()
    look = Looking(tmp_path, "abc", Headed().eval(), inputs, heads=True)
    found = look(clip, {"its own sound": None})
    assert [one.query for one in found] == ["head 1 of its own sound", "head 2 of its own sound"]
    assert found[0].scale == found[1].scale, "one threshold for all heads"
    assert found[0].scale == Looking(tmp_path, "abc", Headed().eval(), inputs)(clip, {"its own sound": None})[0].scale
    with pytest.raises(ValueError, match="bright has no heads"):
        heatmaps(Bright(), inputs, clip, [None], heads=True)
    with pytest.raises(ValueError, match="2 queries"):
        look(clip, {"a": None, "b": np.zeros(HZ, np.float32)})
