"""Cues -> sentences: by punctuation, by pauses, never for ever; times are shared or kept."""

from __future__ import annotations

import itertools
import random

import pytest

from avssl.data.narration import Phrase, clean
from avssl.data.sentences import OVERLAP_SECONDS, _unrolled, sentences


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


def test_a_pause_inside_a_cue_ends_a_sentence_where_its_words_are_timed():
    words = ((0.0, 1.0, "a"), (1.9, 2.0, "b"), (5.0, 6.0, "c"))
    assert [(one.start, one.end, one.text) for one in sentences([Phrase(0, 6, "a b c", words)])] == [
        (0.0, 2.0, "a b"), (5.0, 6.0, "c"),
    ]  # fmt: skip


def test_no_sentence_is_without_length():
    """Recognizers time short words so; what a cue says outside the recording is not in it."""
    moments = ((0.0, 0.0, "Yes."), (4.0, 4.0, "Go."), (4.5, 5.0, "On."))
    found = [(one.start, round(one.end, 6), one.text) for one in sentences([Phrase(0, 5, "Yes. Go. On.", moments)])]
    assert found == [(0.0, 0.1, "Yes."), (3.9, 4.0, "Go."), (4.5, 5.0, "On.")]
    wide = Phrase(-1, 12, "a b. c", ((-1, -0.5, "a"), (5, 6, "b."), (11, 12, "c")))
    (cue,) = clean([wide], 10).phrases
    assert (cue.text, cue.words) == ("b.", ((5, 6, "b."),))
    assert [(one.start, one.end, one.text) for one in sentences([cue])] == [(5, 6, "b.")]
    late = clean([Phrase(8, 16, "home now", ((12, 13, "home"), (15, 16, "now")))], 10)
    assert (late.phrases, late.counts["outside the recording"]) == ((), 1)


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


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("It costs 3. We pay.", ["It costs 3.", "We pay."]),
        ("It costs 3.", ["It costs 3."]),
        ("It is 3.5 wide. It costs 3.50. Yes", ["It is 3.5 wide.", "It costs 3.50.", "Yes"]),
        ("3. Cut it. 4. Fry it.", ["3. Cut it.", "4. Fry it."]),
        ("Wir kommen am 3. Mai. Der 4. Versuch gilt.", ["Wir kommen am 3. Mai.", "Der 4. Versuch gilt."]),
        ("Ask Mr. Li, e.g. at 5. of May", ["Ask Mr. Li, e.g. at 5. of May"]),
    ],
)
def test_a_number_ends_a_sentence_unless_it_is_an_ordinal_or_a_lists(said, wanted):
    assert texts(Phrase(0, 4, said)) == wanted
    words = said.split()
    assert texts(*(Phrase(k, k + 1, word) for k, word in enumerate(words))) == wanted, "a word in each cue"


def test_sentences_without_spaces_between_them_are_split():
    first, second, third = sentences([Phrase(0, 10, "你好。「走！」真的吗？！")])
    assert (first.text, second.text, third.text) == ("你好。", "「走！」", "真的吗？！")
    assert (first.start, first.end, second.end, third.end) == pytest.approx((0, 8 / 3, 6, 10), abs=1 / 3)
    assert texts(Phrase(0, 2, "今日は。元"), Phrase(2, 4, "気。")) == ["今日は。", "元 気。"]
    assert texts(Phrase(0, 2, "v1.2 of a.b!c")) == ["v1.2 of a.b!c"], "other scripts leave a space"


def test_of_a_measured_word_that_is_cut_the_parts_are_not_measured():
    words = ((0.0, 1.0, "はい。そう"), (1.0, 1.5, "です。"), (1.5, 2.0, "では。"))
    found = sentences([Phrase(0, 2, "はい。そうです。では。", words)])
    assert [one.text for one in found] == ["はい。", "そう です。", "では。"]
    assert [one.words for one in found] == [(), (), words[2:]]
    assert found[0].end == found[1].start == pytest.approx(4 / 7)


def test_who_talks_in_between_is_not_made_to_say_the_same_sentence():
    found = sentences([Phrase(0, 4, "I am going home"), Phrase(1, 2, "Stop it."), Phrase(4, 6, "right now.")])
    assert [(one.text, one.start, one.end) for one in found] == [
        ("I am going home right now.", 0, 6), ("Stop it.", 1, 2),
    ]  # fmt: skip
    both = Phrase(0, 4, "I am going"), Phrase(3, 5, "Stop it"), Phrase(4.1, 6, "home."), Phrase(5, 5.8, "now.")
    assert texts(*both) == ["I am going home.", "Stop it now."]
    assert texts(Phrase(0, 4, "Who"), Phrase(0, 4, "Nobody"), Phrase(4, 5, "comes?"), Phrase(4, 5, "does.")) == [
        "Who comes?", "Nobody does.",
    ]  # fmt: skip
    assert texts(Phrase(0, 4, "Careless"), Phrase(3.8, 6, "timing.")) == ["Careless timing."]


def test_measured_words_of_two_who_talk_at_once_stay_with_each():
    one, other = ((0.0, 1.0, "I"), (1.0, 4.0, "go")), ((0.5, 0.9, "Stop"), (0.9, 1.2, "it"))
    found = sentences([Phrase(0, 4, "I go", one), Phrase(0.5, 1.2, "Stop it", other)])
    assert [(each.text, each.words) for each in found] == [("I go", one), ("Stop it", other)]


def test_captions_that_roll_are_said_in_their_order_and_each_until_the_next():
    said = ["the bell", "rings and", "a dog", "barks"]
    found = sentences([Phrase(2 * k, 2 * k + 4, text) for k, text in enumerate(said)])
    assert [one.text for one in found] == ["the bell rings and a dog barks"]
    pairs = [[Phrase(4 * k, 4 * k + 4, "It"), Phrase(4 * k + 2, 4 * k + 4, f"rings{k}.")] for k in range(3)]
    together = sentences([one for pair in pairs for one in pair])
    assert [(one.text, one.start, one.end) for one in together] == [
        ("It rings0.", 0, 4), ("It rings1.", 4, 8), ("It rings2.", 8, 12),
    ]  # fmt: skip
    words = [((2.0 * k, 2.0 * k + 4, text),) for k, text in enumerate(["a", "b", "c", "d."])]
    (measured,) = sentences([Phrase(2 * k, 2 * k + 4, one[0][2], one) for k, one in enumerate(words)])
    assert measured.words == ((0, 2, "a"), (2, 4, "b"), (4, 6, "c"), (6, 10, "d."))


def test_what_rolling_captions_repeat_is_said_once():
    assert texts(Phrase(0, 4, "the bell"), Phrase(2, 5, "the bell rings. A"), Phrase(4, 6, "rings. A dog barks.")) == [
        "the bell rings.", "A dog barks.",
    ]  # fmt: skip
    assert texts(Phrase(0, 4, "Go away"), Phrase(1, 2, "away with you.")) == ["Go away", "away with you."], "an echo"


def test_two_who_talk_at_once_all_along_are_told_from_captions_that_roll_by_how_they_read():
    both = [Phrase(0, 4, "I think that"), Phrase(2, 6, "No, you do not"), Phrase(4, 8, "we should go."),
            Phrase(6, 10, "want to."), Phrase(8, 11, "Now.")]  # fmt: skip
    assert [(one.text, one.start, one.end) for one in sentences(both)] == [
        ("I think that we should go.", 0, 8), ("No, you do not want to.", 2, 10), ("Now.", 8, 11),
    ]  # fmt: skip
    rolling = ["I think that", "you do not", "want to go.", "It is", "late."]
    assert texts(*(Phrase(2 * k, 2 * k + 4, text) for k, text in enumerate(rolling))) == [
        "I think that you do not want to go.", "It is late.",
    ]  # fmt: skip
    marked = ["- one", "- two", "- three", "- four"]
    assert len(texts(*(Phrase(2 * k, 2 * k + 4, text) for k, text in enumerate(marked)))) == 2


def test_lines_that_are_shown_again_after_each_other_are_said_once():
    """As captions that roll are written where times of words are lost: cues touch, and do not overlap."""
    shown = [
        (0, 2, "so the bell"), (2, 2.01, "so the bell"), (2.01, 4, "so the bell rings and a"), (4, 6.5, "rings and a"),
        (6.51, 8, "rings and a dog barks."), (8, 8.01, "dog barks."), (8.01, 9, "dog barks. Now"),
    ]  # fmt: skip
    found = sentences([Phrase(*one) for one in shown])
    assert [one.text for one in found] == ["so the bell rings and a", "dog barks.", "Now"]
    assert (found[0].end, found[1].start) == (4, 6.51), "a line that is shown on is not said on"
    growing = ["The bell", "The bell rings", "The bell rings and a dog", "The bell rings and a dog barks."]
    assert texts(*(Phrase(k, k + 1, text) for k, text in enumerate(growing))) == [growing[-1]]
    assert texts(Phrase(0, 1, "Go on"), Phrase(1, 2, "Go on then."), Phrase(2, 3, "No.")) == [
        "Go on Go on then.",
        "No.",
    ]


def test_what_begins_at_once_is_not_one_sentence_however_short():
    assert texts(Phrase(0, 0.2, "Oh"), Phrase(0, 0.3, "Hey")) == ["Oh", "Hey"]


def test_times_stay_in_the_cue_and_the_recording_and_in_order_whatever_a_file_tells():
    words = ((0.0, 1.0, "a"), (3.0, 2.5, "b"), (2.0, 2.6, "c"), (5.0, 9.0, "d"))
    cleaned = clean([Phrase(0.0, 9.0, "a b c d", words)], 4.0).phrases
    assert [one[:2] for one in cleaned[0].words] == [(0.0, 1.0), (3.0, 3.0), (3.0, 3.0)], "not what is said later"
    (found,) = sentences(cleaned, most_seconds=9, gap_seconds=9)
    assert (found.start, found.end) == (0.0, 3.0)
    assert max(one.end for one in sentences([Phrase(5.3, 6.0, "a b c. d")])) == 6.0


@pytest.mark.parametrize("seed", range(3))
def test_no_sentence_mixes_cues_that_overlap_nor_loses_a_word(seed):
    """Cues at random, few of which overlap as captions that roll do."""
    draw = random.Random(seed)
    for _ in range(100):
        cues, seconds = [], draw.choice([12.0, 30.0])
        for number in range(draw.randint(1, 7)):
            text = " ".join(f"W{number}{letter}{draw.choice(['', '', '.'])}" for letter in "abc"[: draw.randint(1, 3)])
            start = round(draw.uniform(-1, seconds), 1)
            cues.append(Phrase(start, round(start + draw.choice([0.5, 1, 2, 3, 6]), 1), text))
        kept = sorted(clean(cues, seconds).phrases, key=lambda one: (one.start, one.end))
        found = sentences(kept)
        said = [word for one in found for word in one.text.split()]
        assert sorted(said) == sorted(word for one in kept for word in one.text.split())
        assert all(0 <= one.start <= one.end <= seconds for one in found)
        of = {word: place for place, one in enumerate(kept) for word in one.text.split()}
        rolled = _unrolled(kept) != kept
        for one in found:
            places = [of[word] for word in one.text.split()]
            assert places == sorted(places)
            for before, after in itertools.combinations(sorted(set(places)), 2):
                assert rolled or kept[after].start >= kept[before].end - OVERLAP_SECONDS - 1e-9
