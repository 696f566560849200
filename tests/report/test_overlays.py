"""Overlays of moments found: of their span alone, and every one that cannot be shown says why."""

import itertools
import json

import numpy as np
import pytest
from localize.bright import CFG, Bright
from made_media import tone, write

from avssl.data.encode import write_clip
from avssl.data.media import probe
from avssl.inputs import Inputs
from avssl.localize.calibration import Calibration
from avssl.localize.looking import Looking
from avssl.report.overlays import overlays
from retrieval.search import Hit


class Loud(Bright):
    """Lights everything while it is loud."""

    localizes = ("audio",)

    def localize(self, video, query, modality):
        loud = query.square().mean(-1).sqrt()
        return loud[:, None, None, None].expand(-1, video.shape[1], 2, 3)


def hit(path, start, end):
    return Hit(id=0, recording=path.stem, path=str(path), start=start, end=end, peak=start, score=0.5,
               modality="video", narration="", extra={})  # fmt: skip


@pytest.fixture
def look(tmp_path):
    Calibration(0.05, 0.5, "abc", "by hand").save(tmp_path)
    return Looking(tmp_path, "abc", Loud().eval(), Inputs(CFG))


def test_each_moment_is_shown_or_says_why_not(tmp_path, look):
    hz, frame = 8000, np.full((48, 64, 3), 90, np.uint8)
    sound = np.concatenate([np.zeros(4 * hz, np.float32), tone(4, hz, 0.5)])
    clip = tmp_path / "a clip.mp4"
    write_clip(clip, itertools.repeat(frame, 80), 10.0, sound, hz)
    only = write(tmp_path / "only.mp4", video=None)
    gone = tmp_path / "gone.mp4"
    hits = [hit(clip, 5.0, 7.0), hit(only, 0.0, 1.0), hit(gone, 0.0, 1.0), hit(clip, 0.5, 0.5)]
    made = list(overlays(look, hits, {}, tmp_path / "out"))
    assert [rank for rank, _, _ in made] == [1, 2, 3, 4]
    lit, none, absent, dark = made
    assert lit[1] == tmp_path / "out" / "01-a_clip_at_5.0s.mp4"
    assert probe(lit[1]).duration == pytest.approx(2.0, abs=0.15)
    told = json.loads(lit[1].with_suffix(".json").read_text())
    assert (told["lit_time"], told["moments"][0]["seconds"]) == (1.0, 5.0)
    assert none[1] is None
    assert "has no picture" in none[2]
    assert absent[1] is None
    assert "gone.mp4" in absent[2]
    assert json.loads(dark[1].with_suffix(".json").read_text())["lit_time"] == 0.0
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_what_was_asked_for_is_what_is_looked_for(tmp_path, look):
    clip = write(tmp_path / "mute.mp4", count=50, audio=None)
    queries = {"loud": tone(1.0, 8000, 0.5), "soft": tone(1.0, 8000, 0.01)}
    ((_, written, _),) = overlays(look, [hit(clip, 0.0, 1.0)], queries, tmp_path / "out")
    told = json.loads(written.with_suffix(".json").read_text())
    assert [(one["query"], one["lit_time"]) for one in told["queries"]] == [("loud", 1.0), ("soft", 0.0)]
