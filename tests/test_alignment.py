"""Narration that is put right by agreement: with and without timed words, what is dropped, and what never changes."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from avssl.cli.align import doubt
from avssl.data.manifest import Manifest, Recording
from avssl.data.narration import Phrase
from avssl.embedding import alignment
from avssl.embedding.alignment import Aligner, Fit, Placed, Rule, aligned, fits, moved
from avssl.embedding.recordings import Embedded
from avssl.embedding.window import windows
from avssl.embedding.words import Words, evidence
from avssl.methods.base import Space

WORDS = tuple("abcdefghijklmnop")
SECONDS, WINDOW = 8.0, 1.0


class Reader:
    """A network that knows what a text says: a unit vector of its words, whose axes are those of the windows."""

    def __init__(self, narration="phrase", modalities=("video", "audio", "text")):
        self.modalities = modalities
        self.space_name, self.space = "main", Space(modalities, len(WORDS) + 1)
        self.window = SimpleNamespace(seconds=WINDOW)
        self.inputs = SimpleNamespace(cfg=SimpleNamespace(narration=narration))
        self.method = SimpleNamespace(cfg=SimpleNamespace(name="reader"))

    def text(self, texts):
        return np.stack([vector({word: 1.0 for word in text.split()}) for text in texts])


def vector(held):
    found = np.array([*(held.get(word, 0.0) for word in WORDS), 0.3], np.float32)
    return found / np.linalg.norm(found)


def recording(number, said, seconds=SECONDS):
    return Recording(key=f"r{number:02d}", path=f"r{number}.mp4", sha256=str(number), seconds=seconds,
                     video={"seconds": seconds}, audio={"seconds": seconds}, narration=tuple(said))  # fmt: skip


def made(monkeypatch, shown, told, rule=None, narration="phrase", blind=(), **recordings):
    """An aligner over recordings in which ``shown`` = {number: {word: (begin, end)}}; what is ``told`` is narration.

    ``blind`` are views in which nothing is to be seen.
    """
    held = Manifest(tuple(recording(number, said, **recordings) for number, said in told.items()))
    hops = []

    def embed(embedder, manifest, *, hop_seconds, modalities, progress):
        hops.append(hop_seconds)
        vectors, rows = [], []
        for one in manifest.recordings:
            for start, end in windows(one.seconds, WINDOW, hop_seconds):
                events = shown.get(int(one.key[1:]), {})
                inside = {word: max(0.0, min(end, b) - max(start, a)) for word, (a, b) in events.items()}
                vectors.append(inside)
                rows.append({"recording": one.key, "start": start, "end": end})
        whole = np.stack([vector(inside) for inside in vectors])
        noise = np.random.default_rng(0).normal(size=whole.shape).astype(np.float32)
        return Embedded(embedder.space, {name: noise if name in blind else whole for name in modalities},
                        dict.fromkeys(modalities, rows))  # fmt: skip

    monkeypatch.setattr(alignment, "embed_recordings", embed)
    return Aligner(Reader(narration), held, rule or Rule(weight=200), hop_seconds=0.1), held


def events(count):
    """Each recording shows its own thing and another's, at times of its own."""
    return {n: {WORDS[n % 16]: (1.0 + 0.3 * (n % 9), 2.0 + 0.3 * (n % 9)), WORDS[(n + 5) % 16]: (5.5, 6.0)}
            for n in range(count)}  # fmt: skip


def late(shown, shifts):
    return {n: [Phrase(a + shift, b + shift, word) for word, (a, b) in list(shown[n].items())[:1]]
            for n, shift in zip(shown, shifts, strict=True)}  # fmt: skip


SHIFTS = [0.0, 0.7, -0.6, 1.2, -1.0, 0.3, 0.9, -0.8, 0.5, 1.1, -0.4, 0.6]


def test_sentences_move_to_what_they_are_about(monkeypatch):
    shown = events(12)
    aligner, held = made(monkeypatch, shown, late(shown, SHIFTS))
    found = {one.key: said for one, said in aligner.place()}
    for number, shift in enumerate(SHIFTS):
        (placed,) = found[f"r{number:02d}"]
        assert placed.shift == pytest.approx(-shift, abs=0.1)
        assert placed.standing > 0.9
    after = aligned(held, found)
    assert [len(one.narration) for one in after.recordings] == [1] * 12
    assert after.recordings[1].narration[0].start == pytest.approx(1.3, abs=0.1)


def test_what_fits_nowhere_is_dropped_and_the_rest_stays(monkeypatch):
    shown = events(12)
    told = late(shown, SHIFTS)
    for n in range(0, 12, 3):
        told[n].append(Phrase(3.0, 4.0, WORDS[(n + 9) % 16]))  # another recording's thing
    aligner, held = made(monkeypatch, shown, told)
    found = {one.key: said for one, said in aligner.place()}
    gone = {(key, one.before.text) for key, said in found.items() for one in said if one.after is None}
    # what no recording shows is judged by luck: which windows look like nothing most
    foreign = {(f"r{n:02d}", WORDS[(n + 9) % 16]) for n in range(0, 12, 3)}
    assert gone <= foreign
    assert len(gone) >= 3
    kept = aligned(held, found)
    assert sum(len(one.narration) for one in kept.recordings) == 16 - len(gone)
    keeping, _ = made(monkeypatch, shown, told, Rule(standing=0))
    assert all(one.after is not None for _, said in keeping.place() for one in said)


def test_what_many_say_is_compared_with_those_who_do_not_say_it(monkeypatch):
    """Half of the recordings show the same thing and tell of it: they are no examples of what it does not fit."""
    shown = {n: {WORDS[0 if n % 2 else 1 + n // 2]: (1.0 + 0.2 * n, 2.0 + 0.2 * n)} for n in range(24)}
    aligner, _ = made(monkeypatch, shown, late(shown, SHIFTS + SHIFTS))
    for _, (placed,) in aligner.place():
        assert placed.standing > 0.9


@pytest.mark.parametrize(("weight", "jitter"), [(1.0, 0.8), (2.0, 0.5), (0.25, 1.2)])
def test_a_move_is_the_most_probable_of_evidence_and_normally_distributed_delays(weight, jitter, monkeypatch):
    """Log evidence that grows by one each second: slope against the square over twice the variance."""
    rule = Rule(weight=weight, jitter_seconds=jitter, step_seconds=0.01, standing=0)
    aligner, _ = made(monkeypatch, events(12), late(events(12), [0.0] * 12), rule)
    monkeypatch.setattr(alignment, "evidence", lambda words, a, b, c, shifts, at: shifts / 2)  # of each of two views
    _, (placed,) = next(iter(aligner.place()))
    assert placed.shift == pytest.approx(weight * jitter**2, abs=0.011)


def test_one_view_that_knows_is_enough(monkeypatch):
    shown = events(12)
    aligner, _ = made(monkeypatch, shown, late(shown, SHIFTS), blind=("audio",))
    assert all(one.after is not None for _, said in aligner.place() for one in said)


@pytest.mark.parametrize("blind", [(), ("audio",), ("video", "audio")])
def test_by_each_view_it_is_told_whether_narration_fits_better_than_chance(blind, monkeypatch):
    shown = events(12)
    aligner, _ = made(monkeypatch, shown, late(shown, SHIFTS), blind=blind)
    placed = {one.key: said for one, said in aligner.place()}
    found = fits(placed)
    assert {name for name, fit in found.items() if fit.is_chance} == set(blind)
    assert bool(doubt(found)) == (len(blind) == 2), "one view that knows is enough"
    assert ("by picture" in doubt(found)) == ("by sound" in doubt(found)) == (len(blind) == 2)


def test_how_well_narration_fits_is_a_mean_over_recordings_of_one_view():
    def said(*shares):
        return [Placed(Phrase(0, 1, "x"), None, max(shares), by_view=(("video", s), ("audio", 0.5))) for s in shares]

    found = fits(
        {"a": said(0.2, 0.4), "b": said(0.5), "c": said(0.7), "d": [Placed(Phrase(0, 1, "x"), None, math.nan)]}
    )
    error = np.std([0.3, 0.5, 0.7], ddof=1) / math.sqrt(3)
    assert found == {"audio": (0.5, 0.0), "video": (pytest.approx(0.5), pytest.approx(error))}
    assert fits({"a": said(0.2)}) == {}, "of one recording nobody knows the error"
    assert doubt({}) == ""
    assert [Fit(mean, 0.05).is_chance for mean in (0.1, 0.5, 0.59, 0.61)] == [True, True, True, False]


@pytest.mark.parametrize("narration", ["phrase", "window"])
def test_words_move_along_with_their_sentence(narration, monkeypatch):
    """Four words run through a window: with ``window`` each is asked about those that it should hold."""
    shown = {n: {WORDS[(n + k) % 16]: (2.0 + 0.4 * k, 2.4 + 0.4 * k) for k in range(4)} for n in range(12)}
    told = {}
    for n, shift in enumerate(SHIFTS):
        words = tuple((a + shift, b + shift, word) for word, (a, b) in shown[n].items())
        told[n] = [Phrase(words[0][0], words[-1][1], " ".join(shown[n]), words)]
    aligner, _ = made(monkeypatch, shown, told, narration=narration)
    for (_, (placed,)), shift in zip(aligner.place(), SHIFTS, strict=True):
        assert placed.shift == pytest.approx(-shift, abs=0.1)
        assert placed.after.words[0][0] == pytest.approx(placed.after.start)


def test_words_without_times_may_share_their_sentences(monkeypatch):
    """Four words of one length that are said one after the other: as well placed as timed ones, and not timed by it."""
    shown = {n: {WORDS[(n + k) % 16]: (2.0 + 0.4 * k, 2.4 + 0.4 * k) for k in range(4)} for n in range(12)}
    told = {n: [Phrase(2.0 + shift, 3.6 + shift, " ".join(shown[n]))] for n, shift in enumerate(SHIFTS)}
    timed = {
        n: [replace(said, words=tuple((a + shift, b + shift, word) for word, (a, b) in shown[n].items()))]
        for (n, (said,)), shift in zip(told.items(), SHIFTS, strict=True)
    }
    aligner, _ = made(monkeypatch, shown, told, Rule(weight=200, share=True), narration="window")
    beside, _ = made(monkeypatch, shown, timed, narration="window")
    for (_, (placed,)), (_, (wanted,)), shift in zip(aligner.place(), beside.place(), SHIFTS, strict=True):
        assert placed.shift == wanted.shift == pytest.approx(-shift, abs=0.1)
        assert placed.after == replace(wanted.after, words=())
    alone = aligner.saying(aligner.recordings, replace(aligner.rule, share=False))
    assert [one.shift for _, (one,) in alone.place()] != [one.shift for _, (one,) in aligner.place()]


def test_words_ask_each_window_about_what_it_would_hold():
    """Against loops over windows, shifts and words."""
    said = ((1.0, 1.4, "a"), (1.5, 1.9, "b"), (2.3, 2.5, "c"))
    words = Words.of(Phrase(1.0, 2.5, "a b c", said), Reader("window"), 0.25)
    spans = windows(4.0, WINDOW, 0.25)
    begins, ends = np.array(spans).T
    agreement = np.random.default_rng(1).normal(size=(len(words.vectors), len(spans))).astype(np.float32)
    shifts = np.array([-0.8, 0.0, 0.33, 1.4])
    listed = ["a", "a b", "b", "b c", "c"]  # all three do not fit into a window
    assert len(words.vectors) == len(listed)
    for got, shift in zip(evidence(words, agreement, begins, ends, shifts, "middle"), shifts, strict=True):
        expected = 0.0
        for w, (begin, end) in enumerate(spans):
            inside = [word for a, b, word in said if begin <= (a + b) / 2 + shift < end]
            expected += agreement[listed.index(" ".join(inside)), w] if inside else 0.0
        assert got == pytest.approx(expected * 0.25 / 0.2, abs=1e-5)


def test_begin_is_where_agreement_sets_in():
    words = Words.of(Phrase(2.0, 3.0, "a"), Reader(), 0.1)
    spans = windows(SECONDS, WINDOW, 0.1)
    begins, ends = np.array(spans).T
    agreement = (((begins + ends) / 2 >= 4.0) * 1.0)[None].astype(np.float32)
    shifts = np.arange(-2, 4, 0.1)
    found = evidence(words, agreement, begins, ends, shifts, "begin")
    assert 2.5 + shifts[found.argmax()] == pytest.approx(4.0, abs=0.11)
    assert found.max() == pytest.approx(1.0, abs=0.1)


def test_nothing_leaves_its_recording_and_nothing_is_dropped_unheard(monkeypatch):
    shown = {n: {WORDS[n]: (0.0, 1.0)} for n in range(4)}
    told = {n: [Phrase(0.2, 2.8, WORDS[n])] for n in range(4)}
    aligner, _ = made(monkeypatch, shown, told, seconds=3.0)
    for _, (placed,) in aligner.place():
        assert placed.after is not None, "four recordings are too few to tell"
        assert math.isnan(placed.standing)
        assert placed.after.start >= 0
        assert placed.after.end <= 3.0


def test_in_silence_nothing_is_told_by_sound(monkeypatch):
    """A network of which only the picture knows anything; the sound of every fourth recording is silent."""
    shown = events(16)
    aligner, held = made(monkeypatch, shown, late(shown, [*SHIFTS, *SHIFTS[:4]]), blind=("audio",))
    assert all("audio" in dict(said[0].by_view) for _, said in aligner.place())
    quiet = [replace(one, loudness_db=-120.0 if k % 4 == 0 else -20.0) for k, one in enumerate(held.recordings)]
    silenced = Aligner(aligner.embedder, replace(held, recordings=tuple(quiet)), aligner.rule, hop_seconds=0.1)
    for number, (_, (placed,)) in enumerate(silenced.place()):
        views = dict(placed.by_view)
        assert ("audio" in views) is (number % 4 != 0)
        assert views["video"] > 0.9
        assert number % 4 or placed.rank > 0.9, "told by the picture alone, in all recordings"


def test_a_move_keeps_text_lengths_and_words():
    phrase = Phrase(1.0, 2.0, "a b", ((1.0, 1.5, "a"), (1.5, 2.0, "b")))
    assert moved(phrase, 0.25, 9.0) == Phrase(1.25, 2.25, "a b", ((1.25, 1.75, "a"), (1.75, 2.25, "b")))


def test_what_would_stick_out_is_cut_on_both_sides():
    phrase = Phrase(1.0, 3.0, "a")
    assert moved(phrase, -1.5, 9.0) == Phrase(0.0, 1.0, "a")  # about 0.5 s, as was meant
    assert moved(phrase, 0.75, 3.0) == Phrase(2.5, 3.0, "a")
    assert moved(phrase, 0.0, 2.5) is phrase


def test_a_long_sentence_reaches_what_happens_at_once(monkeypatch):
    """Its middle must get there, for which there is no room while all of it stays inside."""
    shown = {n: {WORDS[n]: (0.2, 0.5), WORDS[n + 4]: (2.0, 3.0)} for n in range(4)}
    told = {n: [Phrase(0.2, 2.8, WORDS[n])] for n in range(4)}
    aligner, _ = made(monkeypatch, shown, told, seconds=3.0)
    for _, (placed,) in aligner.place():
        assert placed.after.middle < 0.9
        assert placed.after.start >= 0
        assert placed.shift == pytest.approx(placed.after.middle - 1.5, abs=1e-3)


def test_refusals_name_what_is_wrong(monkeypatch):
    held = Manifest((recording(0, [Phrase(0, 1, "a")]),))
    with pytest.raises(ValueError, match="reader cannot align narration: its space main holds video, audio"):
        Aligner(Reader(modalities=("video", "audio")), held, Rule())
    silent = replace(held, recordings=(recording(0, []),))
    with pytest.raises(ValueError, match="nothing is said in any of the 1 recordings"):
        Aligner(Reader(), silent, Rule())
    with pytest.raises(ValueError, match=r"standing is 2; it is a share"):
        Rule(standing=2)
    with pytest.raises(ValueError, match=r"jitter is 0; it must be above 0"):
        Rule(jitter_seconds=0)
    with pytest.raises(ValueError, match="at is end; one of middle, begin"):
        Rule(at="end")
