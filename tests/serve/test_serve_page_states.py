"""The page in a real browser: on a phone, without results or a network, behind a token, and when its server is gone."""

from __future__ import annotations

import re
from pathlib import Path

from asked import ANSWERED, SHOWN, find
from running import Painter, make_store, running, write_colors

from retrieval.serve.settings import Settings

PAGE = Path(__file__).parents[2] / "retrieval" / "serve" / "page"
TOKEN = "a-token-that-nobody-guesses"


def test_it_fits_a_phone(page):
    page.size(390, 480, phone=True)
    try:
        find(page, "green")
        page.until("document.querySelector('#status').innerText.includes('best first')")
        assert page.run("document.documentElement.scrollWidth") == 390
        page.run("scrollTo(0, 250)")
        page.until("document.querySelector('.pin').getBoundingClientRect().top === 0")
        # Rows that are wider than the screen fade at its edge, and what is last can be scrolled out of that.
        for row in ("#filters", ".tools"):
            style = page.run(f"getComputedStyle(document.querySelector('{row}')).maskImage")
            assert style.startswith("linear-gradient"), style
            assert page.run(f"(() => {{ const row = document.querySelector('{row}'); row.scrollLeft = 9999;"
                            "return row.getBoundingClientRect().right - [...row.children].filter((one) => !one.hidden)"
                            ".at(-1).getBoundingClientRect().right; })()") > 34  # fmt: skip
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")


def test_pictures_of_another_shape_are_shown_whole(chromium, colors, tmp_path):
    tall = write_colors(tmp_path / "tall.mp4", size=(48, 96))
    store = make_store(tmp_path / "store", (colors, "wide"), (tall, "tall"))
    with running(store, tmp_path / "up", Painter(), Settings(port=0)) as client:
        chromium.open(client.url)
        chromium.until(f"{SHOWN} > 0")
        find(chromium, "blue")
        chromium.until(ANSWERED + " && document.querySelectorAll('#results .still canvas').length > 1")
        shapes = chromium.run("""[...document.querySelectorAll('#results li')].slice(0, 2).map((li) => {
            const canvas = li.querySelector('canvas');
            return [li.moment.recording, canvas.width, canvas.height, getComputedStyle(canvas).objectFit];
        })""")
        square = chromium.run("document.querySelector('#results').style.getPropertyValue('--shape')") == "1"
    # Which of them is drawn first, and gives the cards their shape, is chance.
    assert sorted(shapes) == [["tall", 48, 96, "contain"], ["wide", 64, 48, "contain" if square else "cover"]]


def test_an_empty_store_is_told(chromium, tmp_path):
    with running(make_store(tmp_path / "empty"), tmp_path / "up", Painter(), Settings(port=0)) as client:
        chromium.open(client.url)
        chromium.until("document.querySelector('#status').innerText.includes('holds nothing yet')")


def test_a_store_without_a_network_is_browsed(chromium, stored, tmp_path):
    with running(stored, tmp_path / "up", None, Settings(port=0)) as client:
        chromium.open(client.url)
        chromium.until(f"{SHOWN} > 0 && document.querySelector('#text').disabled")
        chromium.run("document.querySelector('.tools button[title^=Find]').click()")
        chromium.until("document.querySelector('#status').innerText.includes('best first')")


def test_a_server_that_is_gone_is_told_and_found_again(chromium, stored, tmp_path):
    with running(stored, tmp_path / "up", Painter(), Settings(port=0)) as client:
        chromium.open(client.url)
        chromium.until(f"{SHOWN} > 0")
        port = client.port
    find(chromium, "red")
    chromium.until("document.querySelector('#trouble').innerText.includes('does not answer')")
    with running(stored, tmp_path / "up", Painter(), Settings(port=port)):
        chromium.run("document.querySelector('#trouble button').click()")
        chromium.until("document.querySelector('#status').innerText.includes('best first')")
        assert chromium.run("document.querySelector('#trouble').hidden")


def test_a_token_is_asked_for_or_taken_from_the_address(chromium, stored, tmp_path):
    with running(stored, tmp_path / "up", Painter(), Settings(port=0, token=TOKEN)) as client:
        chromium.open(client.url)
        chromium.until("document.querySelector('#door').open")
        chromium.run("document.querySelector('#token').focus()")
        chromium.type("wrong-wrong-wrong")
        chromium.key("Enter")
        chromium.until("!document.querySelector('#token-wrong').hidden")
        chromium.run("document.querySelector('#token').select()")
        chromium.type(TOKEN)
        chromium.key("Enter")
        chromium.until(f"{SHOWN} > 0 && document.querySelector('#results li:first-child .still canvas')")
        chromium.call("Network.clearBrowserCookies")
        chromium.open("about:blank")
        chromium.open(client.url + f"#token={TOKEN}")
        chromium.until(f"{SHOWN} > 0")
        assert chromium.run("location.hash") == ""


def test_the_page_is_whole_in_itself():
    files = {path.name: path.read_text("utf-8") for path in PAGE.iterdir()}
    for name, text in files.items():
        assert not re.findall(r"https?://(?!www\.w3\.org)", text), f"{name} names another host"
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert "eval(" not in text
    html = files["index.html"]
    assert not re.search(r"\son[a-z]+\s*=|style\s*=|<style|javascript:", html)
    assert re.findall(r"<script(.*?)>(.*?)</script>", html) == [(' type="module" src="/page/app.js"', "")]
    for name in re.findall(r'from "\./(.*?)"', "".join(files.values())):
        assert name in files
