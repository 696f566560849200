"""The page in a real browser: as a person asks it, offline, with hostile words and names."""

from __future__ import annotations

import json

import pytest
from asked import ANSWERED, SHOWN, find
from running import COLORS, SHOUT, Painter, make_store, running

from retrieval.serve.settings import Settings

CHOOSE_TAG = """(() => {
    const select = document.querySelector("select[title=tag]");
    select.selectedIndex = %d;
    select.onchange();
})()"""
EVERY = "[...document.querySelectorAll('#results li')].every((li) => li.moment.recording %s)"


def color_of(page, source):
    """The name of the color in the middle of a player or a canvas."""
    script = f"""(() => {{
        const canvas = Object.assign(document.createElement("canvas"), {{ width: 1, height: 1 }});
        canvas.getContext("2d").drawImage({source}, 0, 0, 1, 1);
        return [...canvas.getContext("2d").getImageData(0, 0, 1, 1).data];
    }})()"""
    seen = page.run(script)
    return min(COLORS, key=lambda name: sum(abs(a - b) for a, b in zip(COLORS[name], seen, strict=False)))


def test_words_find_the_second_and_the_player_goes_there(page):
    find(page, "blue")
    page.until("document.querySelector('#status').innerText.includes('best first')")
    assert page.run("location.search") == "?text=blue"
    page.until("document.querySelector('video').readyState >= 2 && !document.querySelector('video').seeking")
    assert page.run("document.querySelector('video').currentTime") == pytest.approx(4.0, abs=0.05)
    assert color_of(page, "document.querySelector('video')") == "blue"
    page.until("document.querySelector('#results li:first-child .still canvas')")
    assert color_of(page, "document.querySelector('#results li:first-child .still canvas')") == "blue"
    start, end = page.run(
        "['--from', '--to'].map((name) => parseFloat(document.querySelector('.span').style.getPropertyValue(name)))"
    )
    moment = page.run("(({ start, end }) => [start, end])(document.querySelector('#results li').moment)")
    assert [start, end] == pytest.approx([100 * second / 6 for second in moment], abs=1)
    assert page.run("[...document.querySelectorAll('mark.asked')].every((mark) => mark.innerText === 'blue')")
    page.run("document.querySelector('#results .card').click()")
    page.until("document.querySelector('video').currentTime > 4.2 && !document.querySelector('video').paused")
    page.run("document.activeElement.blur()")
    page.key(" ")
    page.until("document.querySelector('video').paused")


def test_words_and_names_are_shown_as_they_are(page):
    find(page, "red")
    page.until("document.querySelector('#status').innerText.includes('best first')")
    assert SHOUT in page.run("document.querySelector('#stage .words').innerText")
    assert SHOUT.split(">")[0] in page.run("document.querySelector('#results').textContent")
    assert page.run("document.querySelector('#stage .name, #stage h2').innerText").endswith(".mp4")
    made = (
        "#results img, #results b, .words img, .words b, h2 b, #status b, #stage script, #results script, svg[onload]"
    )
    assert page.run(f"document.querySelectorAll({json.dumps(made)}).length") == 0
    for hostile in (SHOUT, '"><svg onload=alert(1)>', "javascript:alert(1)"):
        find(page, hostile)
        page.until("!document.querySelector('#trouble').hidden && !document.body.classList.contains('busy')")
        page.run("document.querySelector('#trouble').hidden = true")
    assert page.complaints
    assert all("400" in complaint for complaint in page.complaints)  # the painter knows no such color
    page.complaints.clear()


def test_a_file_is_searched_with(page, service, tmp_path):
    sound = tmp_path / "<b>green.wav"
    sound.write_bytes(b"green")
    page.give_file("#file", sound)
    page.until("document.querySelector('#status').innerText.includes('best first')")
    assert service.painter.seen[-1] == ("audio", "green")
    assert page.run("document.querySelector('#results li').moment.peak") == 2.0
    assert page.text("#chip").startswith("<b>green.wav")
    page.run("document.querySelector('#chip button[aria-label=Remove]').click()")
    page.until("document.querySelector('#status').innerText.startsWith('Some of')")
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    page.give_file("#file", empty)
    page.until("document.querySelector('#trouble').innerText.includes('is empty')")


def test_a_file_that_fails_leaves_no_hits_of_another_question(page, tmp_path):
    find(page, "red")
    page.until(ANSWERED)
    odd = tmp_path / "odd.wav"
    odd.write_bytes(b"no color")
    page.give_file("#file", odd)
    page.until("document.querySelector('#trouble').innerText.includes('the upload: is no color')")
    page.until("!document.body.classList.contains('busy')")
    assert page.text("#chip").startswith("odd.wav")
    assert (page.run(SHOWN), page.text("#status")) == (0, "")
    assert page.run("document.querySelector('#stage').hidden")
    page.run("document.querySelector('#chip button[aria-label=Remove]').click()")
    page.until(ANSWERED)
    assert page.run(SHOWN) > 0
    assert page.run("document.querySelector('#trouble').hidden && !document.querySelector('#stage').hidden")
    assert all("400" in complaint for complaint in page.complaints)
    page.complaints.clear()


def test_a_sound_is_recorded_and_searched_with(page, service):
    page.run("document.querySelector('#listen').click()")
    page.until("document.querySelector('#listen.live')")
    page.until("new Promise((resolve) => setTimeout(resolve, 300, true))")
    page.run("document.querySelector('#listen').click()")
    page.until("!document.querySelector('#chip').hidden && !document.querySelector('#listen.live')")
    page.until("!document.querySelector('#trouble').hidden")  # which the painter does not take for a color
    assert service.painter.seen[-1][0] == "audio"
    assert service.painter.seen[-1][1].startswith("\x1aE") or "webm" in service.painter.seen[-1][1]
    page.complaints.clear()


def test_filters_keys_and_more_like_this(page):
    find(page, "red")
    page.until("document.querySelector('#status').innerText.includes('best first')")
    page.run(CHOOSE_TAG % 1)
    page.until(f"{SHOWN} > 0 && " + EVERY % "=== 'other'")
    page.run(CHOOSE_TAG % 0)
    page.until(f"{SHOWN} > 0 && !" + EVERY % "=== 'other'")
    page.run("document.activeElement.blur()")
    page.key("j")
    page.until("document.querySelectorAll('#results .card')[1].hasAttribute('aria-current')")
    page.key("k")
    page.until("document.querySelectorAll('#results .card')[0].hasAttribute('aria-current')")
    mine = page.run("document.querySelector('#results li').moment.recording")
    page.key("m")
    page.until("document.querySelector('#chip').innerText.startsWith('like')")
    page.until(f"{SHOWN} > 0 && " + EVERY % f"!== {json.dumps(mine)}")
    page.key("/")
    assert page.run("document.activeElement.id") == "text"
    page.run("document.activeElement.blur()")
    page.key("t")
    assert page.run("document.documentElement.dataset.theme") == "dark"
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 23)"
    page.key("?")
    page.until("document.querySelector('#help').open")
    page.run("document.querySelector('#help').close()")


def test_what_all_of_a_kind_have_in_common_is_left_out_where_ticked(page, service):
    find(page, "blue")
    page.until(ANSWERED)
    scores = "[...document.querySelectorAll('#results li')].map((li) => li.moment.score)"
    among = page.run("document.querySelector('input[name=among]:checked').value")
    plain = page.run(scores)
    for ticked in (True, False):
        page.run("document.querySelector('#centered').focus()")
        page.key(" ")
        page.until(f"document.querySelector('#centered').checked === {json.dumps(ticked)} && " + ANSWERED)
        question = {"text": "blue", "among": among, "top": 20, "centered": ticked}
        found = service.post("/api/search", question).json["moments"]
        assert page.run(scores) == pytest.approx([hit["score"] for hit in found])
        assert (page.run(scores) == plain) is not ticked
    page.key("j")  # keys work from there, too
    page.until("document.querySelectorAll('#results .card')[1].hasAttribute('aria-current')")


def test_the_heat_map_lies_over_the_player(page, service):
    find(page, "red")
    page.until("document.querySelector('#status').innerText.includes('best first')")
    page.until("document.querySelector('video').readyState >= 2")
    page.run("document.activeElement.blur()")
    page.key("w")
    page.until("!document.querySelector('.heat').hidden")
    assert service.painter.seen[-1] == ("text", "red")
    pixel = "[...document.querySelector('.heat').getContext('2d').getImageData({}, {}, 1, 1).data]"
    assert page.run(pixel.format(2, 28))[3] == 0
    lit = page.until("(() => { const p = " + pixel.format(62, 2) + "; return p[3] > 0 && p; })()")
    assert lit[0] > lit[2]
    page.key("w")
    page.until("document.querySelector('.heat').hidden")


ORDER = "[...document.querySelectorAll('#results li')].map((li) => li.moment.columns.color)"


def test_what_is_not_wanted_is_kept_away_from(page, service, tmp_path):
    find(page, 'red -green -"blue"')
    page.until(ANSWERED)
    assert [given for kind, given in service.painter.seen[-3:] if kind == "text"] == ["red", "green", "blue"]
    page.run("document.querySelector('#text').value = 'red'")
    page.run("document.querySelector('#results .card').click()")
    assert page.run(ORDER)[0] == "red"
    # A moment that is shown: the second best is told to be less wanted, and is not found any more.
    second = page.run("document.querySelectorAll('#results li')[1].moment")
    page.run("document.querySelectorAll('#results .card')[1].click(); document.activeElement.blur()")
    page.key("n")
    page.until(f"{SHOWN} > 0 && " + ANSWERED + f" && [...document.querySelectorAll('#results li')]"
               f".every((li) => li.moment.id !== {second['id']})")  # fmt: skip
    assert page.text("#minus").startswith("− ")
    assert page.run("document.querySelectorAll('#minus .chip').length") == 1
    # A file that was attached is turned into what to keep away from.
    picture = tmp_path / "<i>green.png"
    picture.write_bytes(b"green")
    page.give_file("#file", picture)
    page.until("document.querySelector('#chip button[title^=Keep]')")
    page.until(ANSWERED)
    page.run("document.querySelector('#chip button[title^=Keep]').click()")
    page.until("document.querySelectorAll('#minus .chip').length === 2 && " + ANSWERED)
    assert page.run("document.querySelector('#chip').hidden")
    assert "<i>green.png" in page.text("#minus")
    assert service.painter.seen[-1] == ("image", "green")
    assert "green" not in page.run(ORDER)
    for left in (1, 0):
        page.run("document.querySelector('#minus button').click()")
        page.until(f"document.querySelectorAll('#minus .chip').length === {left} && " + ANSWERED)
    assert page.run("document.querySelector('#minus').hidden")
    find(page, "-green")
    page.until("document.querySelector('#status').innerText.includes('what to look for')")


def test_the_box_lies_over_the_place_in_its_seconds(chromium, colors, tmp_path):
    store = make_store(tmp_path / "store", (colors, "one"), regions=True)
    with running(store, tmp_path / "up", Painter(), Settings(port=0)) as client:
        chromium.complaints.clear()
        chromium.open(client.url)
        chromium.until(f"{SHOWN} > 0 && document.querySelector('video')")
        assert chromium.run("document.querySelector('.where').hidden")  # nothing was asked for
        find(chromium, "blue")
        chromium.until(ANSWERED)
        chromium.until("document.querySelector('video').readyState >= 2 && !document.querySelector('video').seeking")
        chromium.until("!document.querySelector('.where').hidden")
        frame, where = (
            chromium.run(f"(({{ x, y, width, height }}) => [x, y, width, height])(document.querySelector('{what}')"
                         ".getBoundingClientRect())") for what in (".frame", ".where")
        )  # fmt: skip
        left, top, width, height = frame
        assert where == pytest.approx([left + 0.75 * width, top, 0.25 * width, 0.5 * height], abs=1)
        # On the still as well: its upper right quarter has an edge, the others have none.
        chromium.until("document.querySelector('#results li:first-child .still canvas')")
        assert chromium.run("""(() => {
            const canvas = document.querySelector('#results li:first-child .still canvas');
            const context = canvas.getContext('2d');
            const at = (x, y) => context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data[0];
            return [at(0.75, 0.25) > 90, at(0.25, 0.25) > 90, at(0.25, 0.75) > 90];
        })()""") == [True, False, False]
        chromium.run("document.querySelector('video').pause(); document.querySelector('video').currentTime = 1")
        chromium.until("document.querySelector('.where').hidden")  # it was found in the last two of six seconds
        chromium.run("document.querySelector('video').currentTime = 4.5")
        chromium.until("!document.querySelector('.where').hidden")
        chromium.run("document.activeElement.blur()")
        chromium.key("b")
        chromium.until("document.querySelector('.where').hidden")
        chromium.key("b")
        chromium.until("!document.querySelector('.where').hidden")
        assert chromium.complaints == []
