"""Nearest neighbors: hand-made vectors with ties and duplicates, shares beside chance, and the page of a tiny run."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from PIL import Image

from avssl.cli import run
from avssl.inputs import Vocabulary
from avssl.report.neighbors import cosines, nearest, shares, spread
from avssl.report.run import PARTS, report
from avssl.train.checkpoint import load_run


def test_the_most_alike_come_first_and_never_the_query():
    vectors = np.array([[2, 0], [0, 1], [0.9, 0.1], [5, 5], [-1, 0]], np.float32)
    scores = cosines(vectors)
    assert scores[0, 3] == pytest.approx(0.5**0.5)
    assert nearest(scores, 0, 3) == [2, 3, 1]
    assert nearest(scores, 0, 10) == [2, 3, 1, 4], "no more than there are"


def test_a_duplicate_is_the_nearest_and_the_query_stays_out():
    vectors = np.array([[1, 2], [3, 1], [1, 2], [2, 4]], np.float32)
    scores = cosines(vectors)
    assert sorted(nearest(scores, 0, 2)) == [2, 3]
    assert nearest(scores, 0, 3)[2] == 1
    assert nearest(cosines(np.zeros((3, 2), np.float32)), 1, 2) in ([0, 2], [2, 0]), "zeros are like nothing"


def test_equals_stand_in_no_order_of_their_places():
    """Pictures lie in folders by class: in the order of places, one vector for all would find many of its own."""
    scores = cosines(np.ones((40, 7), np.float32) * 0.3)
    labels = [str(place // 10) for place in range(40)]
    found = [nearest(scores, query, 5) for query in range(40)]
    alike = np.mean([labels[place] == labels[query] for query, five in enumerate(found) for place in five])
    assert alike == pytest.approx(9 / 39, abs=0.1)
    assert found == [nearest(scores, query, 5) for query in range(40)], "the same page each time"


def slow(scores, labels, count):
    """The mean over all orders of what is tied."""
    told = []
    for query, name in enumerate(labels):
        if not name:
            continue
        others = [place for place in range(len(labels)) if place != query]
        orders = [
            order for order in itertools.permutations(others)
            if all(scores[query, a] >= scores[query, b] for a, b in itertools.pairwise(order))
        ]  # fmt: skip
        told.append(np.mean([np.mean([labels[place] == name for place in order[:count]]) for order in orders]))
    return np.mean(told)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_shares_count_what_is_tied_in_part(count):
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [1, 1], [1, 0]], np.float32)
    labels = ["a", "b", "a", "", "a", "b"]
    scores = cosines(vectors)
    share, chance = shares(scores, labels, count)
    assert share == pytest.approx(slow(scores, labels, count))
    assert chance == pytest.approx((3 * 2 + 2 * 1) / 5 / 5)
    assert shares(np.zeros((6, 6)), labels, count) == pytest.approx((chance, chance)), "one vector for all is chance"


def test_without_labels_there_is_no_share():
    scores = cosines(np.eye(3, dtype=np.float32))
    assert shares(scores, ["", "", ""], 5) is None
    assert shares(scores, ["a", "b", ""], 5) is None


def test_queries_are_spread_over_all():
    assert spread(300) == [0, 75, 150, 224, 299]
    assert spread(3) == [0, 1, 2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny run of simclr on red and blue pictures."""
    folder = tmp_path_factory.mktemp("red_and_blue")
    draw, lines = np.random.default_rng(0), ["path\tkind"]
    for part, count in (("train", 4), ("test", 4)):
        for kind, plane in (("red", 0), ("blue", 2)):
            for number in range(count):
                picture = draw.integers(0, 90, (24, 36, 3)).astype(np.uint8)
                picture[..., plane] += 150
                path = folder / "pictures" / part / f"{kind}-{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
                lines.append(f"{part}/{kind}-{number}.png\t{kind}")
    (folder / "labels.tsv").write_text("\n".join(lines) + "\n")
    listed, made = folder / "listed.jsonl", folder / "run"
    small = [
        "steps=2", "data.batch=4", "data.workers=0", "evaluate_every=0", "threads=1", "precision=fp32",
        "inputs.height=32", "inputs.width=32", "encoders.image.width=32", "method.hidden=16", "method.projection=8",
    ]  # fmt: skip
    for words in (
        ["manifest", folder / "pictures", "--labels", folder / "labels.tsv", "-o", listed, "--workers", 1],
        ["train", "simclr", f"data={listed}", *small, "-o", made],
    ):
        assert run([str(word) for word in words]) == 0, words
    return made


def test_the_page_of_a_tiny_run_shows_neighbors_and_filters(made):
    told: list[tuple[int, int]] = []
    page = report(made, tell=lambda *parts: told.append(parts))
    assert told == [(done, PARTS) for done in range(PARTS + 1)]
    assert "What its first layer looks for" in page
    part = page[page.index("What looks alike to it") : page.index("What its first layer looks for")]
    told = re.search(r"5 nearest among 8, ([\d.]+)% have its kind; untrained ([\d.]+)%, chance ([\d.]+)%", part)
    assert float(told[3]) == pytest.approx(100 * 3 / 7, abs=0.1)
    assert float(told[1]) > float(told[3]), "red is like red, even for what has learnt for two steps"
    assert part.count("<img") == 5 * (1 + 5 + 5), "five queries, each with five by either network"
    assert part.count('class="query"') == 5
    rows = part.split('class="query"')[1:]
    for row in rows:
        kind = re.search(r"(red|blue)", row)[1]
        cards = re.findall(r'<figure( class="right")? title="[^"]*(red|blue)-\d">', row)
        assert len(cards) == 10
        assert all(bool(framed) == (other == kind) for framed, other in cards)
    assert "<video" not in page


def test_texts_that_the_run_cannot_look_for_are_refused(made, monkeypatch):
    with pytest.raises(ValueError, match="--text: simclr reads no text"):
        report(made, words=["red"])

    def load(folder, trained=True):
        loaded = load_run(folder, trained=trained)
        loaded.method.modalities = ("image", "text")
        loaded.inputs.vocabulary = Vocabulary.train(["a red one", "a blue one"], 60)
        return loaded

    monkeypatch.setattr("avssl.report.run.load_run", load)
    with pytest.raises(ValueError, match="--text xyzzy: this run has read no word of it"):
        report(made, words=["red", "xyzzy"])


def test_where_the_untrained_network_cannot_be_had_the_page_shows_the_trained(made, monkeypatch):
    def load(folder, trained=True):
        if not trained:
            raise ValueError("nobody/tower is not on this machine")
        return load_run(folder)

    monkeypatch.setattr("avssl.report.run.load_run", load)
    page = report(made)
    assert re.search(r"% have its kind; chance 42.9%", page)
    assert page.count('class="five"') == 5
    assert "untrained" not in page
