"""The block that is scrubbed through: maps arrive on their own scale, dark stays dark, words stay words."""

import base64
import html
import json
import re

import numpy as np
import pytest
from made_media import tone, write

from avssl.localize.calibration import Calibration
from avssl.localize.film import Found
from avssl.localize.heatmap import Heat
from avssl.report.clips import Budget
from avssl.report.looks import LEVELS, SCRIPT, STYLE, look_of, looks
from avssl.report.page import fingerprint, page

EVIL = '</script><script>alert("x")</script>'


def found(query, threshold, ceiling, maps):
    times = 0.5 + np.arange(len(maps)) / 4
    return Found(query, Heat(maps, times, np.full(len(maps), -20.0)), Calibration(threshold, ceiling, "abc", "by hand"))


@pytest.fixture
def clip(tmp_path):
    return write(tmp_path / "clip.mp4", count=75, sound=tone(3.0, 44100, 0.3))


def test_maps_are_on_the_calibrated_scale_and_never_lit_by_rounding(clip):
    maps = np.array([[[0.2, 0.5]], [[0.5 - 1e-9, 0.75]], [[1.0, 99.0]], [[-99.0, 0.6]]])
    shown = look_of(clip, [found(EVIL, 0.5, 1.0, maps)], "clip", EVIL, budget=Budget(10_000_000))
    (query,) = shown["queries"]
    stored = np.frombuffer(base64.b64decode(query["maps"]), "<i2").reshape(query["shape"])
    levels = (maps - 0.5) / 0.5
    near = np.abs(levels) < 7
    assert np.abs(stored / LEVELS - levels)[near].max() <= 1 / LEVELS
    assert np.array_equal(stored >= 0, maps >= 0.5), "what is dark stays dark"
    assert (shown["start"], shown["step"], len(shown["loudness"])) == (0.5, 0.25, 4)
    assert shown["video"].startswith("data:video/mp4")
    assert (query["threshold"], query["ceiling"], query["chosen"]) == (0.5, 1.0, "by hand")


def test_words_cannot_end_the_block_and_only_this_script_runs(clip):
    maps = np.zeros((4, 2, 2))
    queries = [found(EVIL, 0.5, 1.0, maps), found("bell", 0.1, 0.2, maps)]
    shown = look_of(clip, queries, EVIL, EVIL, budget=Budget(10_000_000))
    whole = page("a run", "lead", looks([shown]), style=STYLE, script=SCRIPT)
    assert len(re.findall(r"<script\b", whole)) == 2, "the data and the script"
    held = re.search(r'<script type="application/json" id="looks-data">(.*?)</script>', whole, re.S)[1]
    told = json.loads(held)
    assert [query["name"] for query in told["shown"][0]["queries"]] == [EVIL, "bell"]
    assert all(len(table) == 256 * 6 for table in told["colors"])
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', whole)[1])
    ran = re.search(r"<script>(.*)</script>", whole, re.S)[1]
    assert f"script-src '{fingerprint(ran)}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"""(src|href)=["'](?!data:)""", whole)


def test_a_page_that_is_full_has_no_further_recordings(clip):
    assert look_of(clip, [found("bell", 0.5, 1.0, np.zeros((4, 2, 2)))], "clip", "", budget=Budget(100)) is None
