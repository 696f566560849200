"""Which sentences can be seen at all: the probability chosen, foreign sentences, and what a network is shown."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from contract import tiny

from avssl.data.manifest import Manifest, Recording
from avssl.data.narration import Phrase
from avssl.embedding import alignable
from avssl.embedding.alignable import Chosen, alignability, chosen, foreign
from avssl.embedding.alignment import Placed, without
from avssl.embedding.network import Embedder

NAN = float("nan")


@pytest.mark.parametrize(
    ("own", "others", "told"),
    [
        ([0.8, 0.9, 0.7], [0.1, 0.2, 0.3], Chosen(0.7, 1.0, 0.0)),
        ([0.8, 0.9, 0.2, 0.7], [0.1, 0.3, 0.3, 0.75], Chosen(0.7, 0.75, 0.25)),
        ([0.2, 0.3], [0.8, 0.9], Chosen(0.0, 0.0, 0.0)),  # own ones are less probable: nothing goes
        ([0.5, 0.5], [0.5, 0.5], Chosen(0.0, 0.0, 0.0)),
        ([0.9, NAN], [NAN, 0.1], Chosen(0.9, 1.0, 0.0)),
        ([NAN], [0.1], Chosen(0.0, 0.0, 0.0)),
    ],
)
def test_the_probability_that_tells_both_best_is_chosen(own, others, told):
    """By hand: the share of foreign sentences below it less that of own ones is greatest."""
    assert chosen(own, others) == pytest.approx(told)


def test_what_has_no_probability_stays():
    phrase = Phrase(1.0, 2.0, "x")
    said = [Placed(phrase, phrase, 1.0, share) for share in (0.2, 0.6, NAN)] + [Placed(phrase, None, 0.1)]
    for least, gone in ((0.5, [True, False, False, True]), (0.0, [False, False, False, True])):
        left = without({"a": said}, lambda one, least=least: one.alignable < least)
        assert [one.after is None for one in left["a"]] == gone


def recording(number, *said, seconds=4.0, **more):
    name = f"r{number}"
    return Recording(key=name, path=f"{name}.mp4", sha256=name, seconds=seconds, narration=said, **more)


def test_foreign_sentences_are_of_recordings_that_say_none_of_them():
    a, b, c = Phrase(1.0, 2.0, "a"), Phrase(2.0, 3.0, "b"), Phrase(0.0, 4.0, "c")
    found = foreign([recording(0, a, b), recording(1, b), recording(2, c)])
    assert [one.key for one in found] == ["r0", "r1", "r2"]
    assert [[phrase.text for phrase in one.narration] for one in found] == [["c", "c"], ["c"], ["a"]]
    for one, own in zip(found, ([a, b], [b], [c]), strict=True):
        assert [p.middle for p in one.narration] == pytest.approx([p.middle for p in own]), "at the same times"
        assert all(p.start >= 0 and p.end <= 4.0 for p in one.narration)
    assert foreign([recording(0, a), recording(1, a)]) == []


def test_a_network_is_shown_the_window_about_each_sentence_and_those_nearest_to_it(monkeypatch):
    run = tiny.run("tan", "method.sentences=3", "method.width=32", "method.layers=1")
    embedder, starts, asked = Embedder(run.method(), run.inputs), [], []

    def read(path, begins, **_):
        starts.extend(begins)
        return SimpleNamespace(video=torch.zeros(len(begins), 4, 3, 32, 32, dtype=torch.uint8))

    def answer(video, tokens):
        asked.append(tokens)
        return torch.arange(len(tokens) * 3.0).view(-1, 3)

    monkeypatch.setattr(embedder.window, "read", read)
    monkeypatch.setattr(embedder.method, "alignability", answer)
    said = [Phrase(float(k), k + 1.0, f"the {word}") for k, word in enumerate(tiny.WORDS[:4])]
    seen = {"video": {"seconds": 4.0}}
    found = alignability(embedder, Manifest(()), recording(0, **seen), said)
    assert starts == [0.25, 1.25, 2.25, 3.25], "half a second about the middle"
    assert found == pytest.approx([1 / (1 + math.exp(-3 * k)) for k in range(4)]), "the first of each is asked about"
    expected = ([0, 1, 2], [1, 0, 2], [2, 1, 3], [3, 2, 1])
    for tokens, places in zip(asked[0], expected, strict=True):
        assert torch.equal(tokens, run.inputs.tokens([said[place].text for place in places]))
    starts.clear()
    short = [Phrase(0.0, 0.1, "a"), Phrase(0.5, 0.6, "b")]
    alignability(embedder, Manifest(()), recording(0, seconds=0.6, **seen), short)
    assert starts == pytest.approx([0.0, 0.1]), "no window leaves the recording"
    assert all(math.isnan(one) for one in alignability(embedder, Manifest(()), recording(0), said)), "without picture"


def test_too_few_sentences_choose_nothing():
    few = SimpleNamespace(recordings=[recording(0, Phrase(1.0, 2.0, "a"))] * (alignable.FEWEST - 1))
    assert alignable.choose(few, Manifest(())) is None
    alike = SimpleNamespace(recordings=[recording(0, Phrase(1.0, 2.0, "a"))] * 20)
    assert alignable.choose(alike, Manifest(())) is None, "none is foreign to another"
