"""What recognizers make up: silence with doubtful words, loops, and a text that will not end."""

from __future__ import annotations

import zlib

import pytest

from avssl.data.narration import Phrase
from avssl.speech.doubt import Heard, Rule, believed, compression, loop, why_not


def heard(text, no_speech=0.0, log_probability=0.0, start=0.0):
    return Heard(Phrase(start, start + 1, text), no_speech, log_probability)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (heard("a bell rings"), None),
        (heard("  "), "empty"),
        (heard("Thank you.", 0.9, -1.5), "no speech"),
        (heard("Thank you.", 0.9, -0.5), None),  # probable words outweigh it
        (heard("Thank you.", 0.3, -1.5), None),
        (heard("go go go go now"), "repeats itself"),
        (heard("go go go now"), None),
        (heard("one of the one of the one of the one of the"), "repeats itself"),
        (heard("abcdefgh" * 40), "repeats itself"),  # by compression: one word without spaces
    ],
)
def test_why_a_segment_is_not_believed(one, reason):
    assert why_not(one, Rule()) == reason


def test_compression_is_of_bytes():
    text = "ähnlich " * 30
    assert compression(text) == len(text.encode()) / len(zlib.compress(text.encode())) > 2.4
    assert compression("the bell rings twice") < 1.5


@pytest.mark.parametrize(
    ("said", "times"), [("", 0), ("a", 1), ("a b a b a b", 3), ("x a b c a b c", 2), ("A a, a.", 3)]
)
def test_loops_are_counted(said, times):
    assert loop(said.split()) == times


def test_a_text_that_comes_again_and_again_stands_once():
    said = [heard(text, start=k) for k, text in enumerate(["hello", "bye", "bye", "bye", "bye", "bye", "end", "bye"])]
    kept, counts = believed(said, Rule())
    assert [one.text for one in kept] == ["hello", "bye", "end", "bye"]
    assert counts == {"repeated": 4}
    kept, counts = believed(said[:4], Rule())
    assert [one.text for one in kept] == ["hello", "bye", "bye", "bye"], "as often as the rule allows"
    assert counts == {}


@pytest.mark.parametrize(
    ("before", "shortened", "lost"), [([], [], 0), (["loop"] * 5, ["loop"], 4), (["loop"] * 3, ["loop"] * 3, 0)]
)
def test_only_the_run_that_is_a_loop_is_shortened(before, shortened, lost):
    said = [*before, "a", "yes.", "yes.", "b", *["on"] * 6, "b", "b"]
    kept, counts = believed([heard(text, start=k) for k, text in enumerate(said)], Rule())
    assert [one.text for one in kept] == [*shortened, "a", "yes.", "yes.", "b", "on", "b", "b"]
    assert counts == {"repeated": lost + 5}
    assert kept[-3].start == said.index("on"), "the first of a loop stands"


def test_a_rule_may_allow_no_repetition_at_all():
    kept, counts = believed([heard(text) for text in ("a", "b", "b", "c")], Rule(repeats=1))
    assert ([one.text for one in kept], counts) == (["a", "b", "c"], {"repeated": 1})
