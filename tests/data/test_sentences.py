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
