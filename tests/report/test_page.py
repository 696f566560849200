"""The page: what others wrote is text, nothing is loaded, curves are drawn where they belong."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from avssl.report.page import Markup, escape, page, section, table, tag, write
from avssl.report.plots import curves, number, thin, ticks

EVIL = '<script>alert("x")</script><img src=x onerror="alert(1)">&amp;'


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += attributes

    def handle_data(self, words):
        self.words.append(words)


def parsed(text):
    seen = Seen()
    seen.feed(text)
    return seen


def test_narration_is_never_markup():
    whole = page(EVIL, tag("p", EVIL), section(EVIL, tag("div", EVIL, title=EVIL), table([EVIL], [[EVIL]])))
    seen = parsed(whole)
    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert ("title", EVIL) in seen.attributes
    assert seen.words.count(EVIL) == 7  # title, h1, p, h2, div, th, td


def test_nothing_is_loaded():
    whole = page("a run", tag("p", "words"))
    contents = [value for name, value in parsed(whole).attributes if name == "content"]
    assert any(value.startswith("default-src 'none'") and "script" not in value for value in contents)
    assert not re.search(r"""(src|href)=["'](?!data:)""", whole)


def test_tags():
    assert tag("br") == "<br>"
    assert tag("p", "a", 3, Markup("<b>b</b>"), klass="soft") == '<p class="soft">a3<b>b</b></p>'
    assert tag("video", controls=True, poster=None, aria_label="x") == '<video controls aria-label="x"></video>'
    assert escape(Markup("<b>")) == "<b>"
    assert escape("<b>") == "&lt;b&gt;"


def test_write(tmp_path):
    write(tmp_path / "a.html", "“words”")
    assert (tmp_path / "a.html").read_text("utf-8") == "“words”"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0, 30, [0, 10, 20, 30]), (-1, 1, [-1, -0.5, 0, 0.5, 1]), (3, 3, [3])],
)
def test_ticks(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_thin_keeps_the_mean_and_drops_what_is_not_finite():
    series = [(float(x), float(x % 7)) for x in range(1000)]
    thinned = thin([*series, (1000.0, float("nan")), (1001.0, float("inf"))], 100)
    assert len(thinned) == 100
    assert sum(y for _, y in thinned) / 100 == pytest.approx(sum(y for _, y in series) / 1000)
    assert thin([(1.0, 2.0)], 100) == [(1.0, 2.0)]


def test_curves_lie_inside_and_fall_where_the_loss_falls():
    drawn = curves("loss", {"loss": [(x, 10.0 - x) for x in range(11)]})
    points = [tuple(map(float, pair.split())) for pair in re.search(r'd="M([^"]+)"', drawn)[1].split(" L")]
    assert len(points) == 11
    assert all(0 <= x <= 340 and 0 <= y <= 210 for x, y in points)
    assert all(b[0] > a[0] and b[1] > a[1] for a, b in pairwise(points))
    assert curves("loss", {"loss": [(1.0, float("nan"))]}) == ""
    assert "<path" in curves("loss", {"loss": [(5.0, 1.0)]})


def test_numbers():
    assert [number(value) for value in (0.0, 0.5, 12345.0, 0.0001, 1e6)] == ["0", "0.5", "1.234e+04", "1e-04", "1e+06"]
