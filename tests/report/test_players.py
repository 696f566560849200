"""Controls of players do not lie over pictures that nobody points at; seen in a real browser."""

import pytest
from made_media import write
from serve.headless import binary, browser

from avssl.report.clips import Budget
from avssl.report.montage import PLAYERS, player
from avssl.report.page import page, tag
from avssl.report.page import write as put


@pytest.mark.skipif(binary() is None, reason="no Chromium on this machine")
def test_controls_are_there_for_those_who_want_them(tmp_path):
    clip = Budget(10**7).clip(write(tmp_path / "film.mp4"), 0.0, 1.0)
    both = [tag("figure", player(clip)) for _ in range(2)]
    assert all("controls" in one for one in both), "they are there where no script runs"
    put(tmp_path / "page.html", page("films", "lead", *both, script=PLAYERS))
    with browser(tmp_path / "profile") as seen:
        seen.open(f"file://{tmp_path / 'page.html'}")
        told = "[...document.querySelectorAll('video')].map((one) => one.controls).join()"
        seen.until(f"{told} === 'false,false'")
        for act, now in (("focus()", "false,true"), ("blur()", "false,false")):
            seen.run(f"document.querySelectorAll('video')[1].{act}")
            assert seen.run(told) == now
        seen.run("document.querySelectorAll('video')[0].dispatchEvent(new PointerEvent('pointerenter'))")
        assert seen.run(told) == "true,false"
        assert seen.complaints == []
