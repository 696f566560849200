"""Cues -> sentences: by punctuation, by pauses, never for ever; times are shared or kept."""

from __future__ import annotations

import pytest

from avssl.data.narration import Phrase
from avssl.data.sentences import sentences


def texts(*phrases, **options):
    return [one.text for one in sentences(phrases, **options)]


def test_cues_are_joined_and_split_at_punctuation():
    assert texts(Phrase(0, 2, "The bell is"), Phrase(2, 4, "ringing. A dog"), Phrase(4, 5, "barks!")) == [
        "The bell is ringing.", "A dog barks!",
    ]  # fmt: skip


def test_words_share_their_cues_time_by_their_length():
    first, second = sentences([Phrase(0.0, 10.0, "aaaa. bbbb.")])
    assert (first.start, first.end, second.start, second.end) == pytest.approx((0, 5, 5, 10))
    assert first.words == second.words == (), "guessed times are not told as measured ones"


def test_measured_words_are_kept():
    words = ((0.0, 0.4, "Stop."), (1.0, 1.3, "Go"), (1.3, 1.9, "on."))
    found = sentences([Phrase(0.0, 2.0, "Stop. Go on.", words)])
    assert [(one.start, one.end, one.words) for one in found] == [(0.0, 0.4, words[:1]), (1.0, 1.9, words[1:])]
    mixed = sentences([Phrase(0.0, 1.0, "a", ((0.0, 1.0, "a"),)), Phrase(1.0, 2.0, "b")])
    assert mixed[0].words == ()


def test_a_pause_ends_a_sentence_and_so_does_its_length():
    assert texts(Phrase(0, 1, "no punctuation"), Phrase(2.5, 3, "after a pause")) == [
        "no punctuation", "after a pause",
    ]  # fmt: skip
    assert texts(Phrase(0, 1, "a"), Phrase(1.5, 2, "b"), gap_seconds=0.4) == ["a", "b"]
    long = [Phrase(k, k + 1, f"w{k}") for k in range(40)]
    found = sentences(long, most_seconds=15)
    assert [len(one.text.split()) for one in found] == [15, 15, 10]
    assert all(one.end - one.start <= 15 for one in found)


def test_abbreviations_initials_and_numbers_end_nothing():
    assert texts(Phrase(0, 4, "Dr. J. Smith came 3. of ten.")) == ["Dr. J. Smith came 3. of ten."]
    assert texts(Phrase(0, 4, "“Wait…” Really? Yes。")) == ["“Wait…”", "Really?", "Yes。"]
    assert sentences([]) == []
