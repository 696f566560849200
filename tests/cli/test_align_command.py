"""avssl align as a user runs it: the manifest it writes, the histogram it tells, and what it refuses."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contract import tiny

from avssl.cli import _network, run
from avssl.cli.align import EDGES, _dropped, histogram, row
from avssl.data.encode import write_clip
from avssl.data.manifest import Manifest, Recording
from avssl.data.media import decode
from avssl.data.narration import Phrase
from avssl.embedding import alignment
from avssl.embedding.alignment import Placed, moved
from avssl.embedding.network import Embedder
from avssl.inputs import Inputs, Vocabulary

FPS, SECONDS = 8.0, 1.5


@pytest.fixture
def listed(tmp_path):
    """Ten clips in which something is said, and one in which nothing is."""
    recordings = []
    for number in range(11):
        path = tmp_path / f"{number}.mp4"
        draw = np.random.default_rng(number)
        frames = (draw.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(round(SECONDS * FPS)))
        tone = (0.3 * np.sin(np.arange(round(SECONDS * 16000)) * 0.02 * (number + 1))).astype(np.float32)
        write_clip(path, frames, FPS, tone, 16000)
        said = (Phrase(0.2, 0.8, f"the {tiny.WORDS[number % 8]} {number}"),) if number else ()
        stream = {"seconds": SECONDS}
        recordings.append(
            Recording(key=f"r{number}", path=str(path), sha256=str(number), seconds=SECONDS, video=stream, audio=stream,
                      narration=said, split="test" if number < 10 else "train")
        )  # fmt: skip
    Manifest(tuple(recordings)).save(tmp_path / "in.jsonl")
    return tmp_path


@pytest.fixture
def network(monkeypatch):
    """Loads an untrained tiny run in place of a folder."""

    def given(name, *words):
        one = tiny.run(name, *words)
        loaded = SimpleNamespace(method=one.method().eval(), inputs=one.inputs, digest="abc")
        monkeypatch.setattr(_network, "load", lambda run, **_: loaded)

    return given


def test_it_writes_a_manifest_and_tells_how_far_narration_moved(listed, network, capsys):
    network("mil_nce")
    words = ["align", "runs/x", str(listed / "in.jsonl"), "-o", str(listed / "out.jsonl"), "--split", "test"]
    assert run([*words, "--hop", "0.1", "--standing", "0.5", "--json", str(listed / "told.json")]) == 0
    shown, errors = capsys.readouterr()
    assert "warning: what is said fits its own recording hardly better than others" in errors, "it has learnt nothing"
    assert errors.count("warning") == 1
    assert "dropped" in shown
    assert "stayed" in shown
    assert "all 9" in shown
    told = json.loads((listed / "told.json").read_text())
    assert told["edges"] == list(EDGES)
    assert told["total"]["sentences"] == 9
    assert sum(told["total"]["shifts"]) + told["total"]["dropped"] == 9
    before, after = Manifest.load(listed / "in.jsonl"), Manifest.load(listed / "out.jsonl")
    assert len(after.recordings) == 11
    assert sum(len(one.narration) for one in after.split("test")) == 9 - told["total"]["dropped"]
    assert after.split("train")[0].narration == before.split("train")[0].narration, "another split stays as it is"
    for one in told["recordings"]:
        (said,) = one["said"]
        bins = [0] * (len(EDGES) + 1) if said["shift"] is None else [
            int(low <= said["shift"] < high) for low, high in itertools.pairwise((-99, *EDGES, 99))
        ]  # fmt: skip
        assert (one["shifts"], one["dropped"]) == (bins, int(said["shift"] is None))
        line = next(line for line in shown.splitlines() if line.split()[0] == one["recording"])
        assert line.split()[1:] == ["1"], "its own sentence, once"
        (now,) = next(r for r in after.recordings if r.key == one["recording"]).narration or (None,)
        assert (now is None) == (said["shift"] is None)
        if now is not None:
            assert now.middle == pytest.approx((said["start"] + said["end"]) / 2 + said["shift"], abs=1e-3)


def told_by(listed, *words):
    """What the command says became of every sentence: (shift, standing)."""
    given = ["align", "runs/x", str(listed / "in.jsonl"), "-o", str(listed / "out.jsonl")]
    assert run([*given, "--chatter", "0", "--json", str(listed / "told.json"), *words]) == 0
    told = json.loads((listed / "told.json").read_text())["recordings"]
    return [(said["shift"], said["standing"]) for one in told for said in one["said"]]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("--window 0.75", {"window": 0.75}),
        ("--hop 0.25", {"hop": 0.25}),
        ("--most 0.1", {"most_seconds": 0.1}),
        ("--jitter 0.01", {"jitter_seconds": 0.01}),
        ("--weight 0.01", {"weight": 0.01}),
        ("--at begin", {"at": "begin"}),
        ("--split train", {"split": "train"}),
    ],
)
def test_every_option_reaches_the_rule(words, asked, listed, network):
    """The command does what the aligner does that is made with the same, and something else without the option."""
    network("mil_nce")
    loaded, held = _network.load("runs/x"), Manifest.load(listed / "in.jsonl")
    window, hop, split = (asked.pop(name, None) for name in ("window", "hop", "split"))
    rule = alignment.Rule(**{"most_seconds": 1.5, "jitter_seconds": 0.5, "weight": 1.0, "standing": 0.0, **asked})
    embedder = Embedder(loaded.method, loaded.inputs, window)
    placed = alignment.Aligner(embedder, held, rule, hop_seconds=hop, split=split).place()
    wanted = [(row(one)["shift"], row(one)["standing"]) for _, said in placed for one in said if one.after is not None]
    found = told_by(listed, "--standing", "0", *words.split())
    assert found == wanted
    assert found != told_by(listed, "--standing", "0")


def test_words_share_their_sentences_time_where_that_is_asked(listed, network):
    network("mil_nce", "inputs.narration=window", "inputs.frames=4", "inputs.fps=8", "inputs.audio_seconds=0.5")
    loaded, held = _network.load("runs/x"), Manifest.load(listed / "in.jsonl")
    rule = alignment.Rule(1.5, jitter_seconds=0.5, weight=1.0, standing=0.0, share=True)
    placed = alignment.Aligner(Embedder(loaded.method, loaded.inputs, None), held, rule).place()
    wanted = [(row(one)["shift"], row(one)["standing"]) for _, said in placed for one in said]
    found = told_by(listed, "--standing", "0", "--share")
    assert found == wanted
    assert found != told_by(listed, "--standing", "0")


def test_a_run_that_knows_what_is_said_is_not_doubted(listed, network, monkeypatch, capsys):
    """Of a network that maps each text to its recording's windows."""
    network("mil_nce")
    texts = {r.narration[0].text: r.key for r in Manifest.load(listed / "in.jsonl").recordings if r.narration}
    axes = {key: np.eye(16, dtype=np.float32)[place] for place, key in enumerate(texts.values())}
    held = alignment.embed_recordings

    def embed(*given, **options):
        found = held(*given, **options)
        return replace(found, vectors={name: np.stack([axes[row["recording"]] for row in rows])
                                       for name, rows in found.rows.items()})  # fmt: skip

    monkeypatch.setattr(alignment, "embed_recordings", embed)
    monkeypatch.setattr(Embedder, "text", lambda _, said: np.stack([axes[texts[one]] for one in said]))
    assert run(["align", "runs/x", str(listed / "in.jsonl"), "-o", str(listed / "out.jsonl"), "--hop", "0.25"]) == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("ave_net", [], "ave_net cannot align narration: its space main holds image, audio"),
        ("mil_nce", ["--standing", "3"], "--standing is 3; it is a share or a probability, 0 to 1"),
        ("mil_nce", ["--at", "end"], "at is end; one of middle, begin"),
        ("mil_nce", ["--share"], "--share: runs/x learnt from whole phrases, and is asked about them"),
        ("mil_nce", ["--alignable", "0.5"], "mil_nce does not tell what can be aligned; use --standing"),
        ("tan", ["--alignable", "1.5"], "--alignable is 1.5; it is a share or a probability, 0 to 1"),
        ("mil_nce", ["--chatter", "-1"], "--chatter is -1; it is a share or a probability, 0 to 1"),
        ("tan", ["--alignable", "0.5", "--standing", "0.5"], "--standing and --alignable: each says what goes"),
    ],
)
def test_what_it_cannot_do_is_one_line(name, words, told, listed, network, capsys):
    network(name)
    given = ["align", "runs/x", str(listed / "in.jsonl"), "-o", str(listed / "out.jsonl"), *words]
    assert run(given) == 2
    errors = capsys.readouterr().err
    assert told in errors
    assert errors.count("\n") == 1
    assert not (listed / "out.jsonl").exists()


@pytest.fixture
def judging(monkeypatch, listed):
    """A tiny run of tan that holds sentences with an even number to be seen, where they are of the recording itself."""
    before = Manifest.load(listed / "in.jsonl")
    texts = {int(r.key[1:]): r.narration[0].text for r in before.recordings if r.narration}
    one = tiny.run("tan", "method.width=32", "method.layers=1", "inputs.vocabulary=200")
    one = replace(one, inputs=Inputs(one.cfg.inputs, Vocabulary.train(texts.values(), 200)))
    method = one.method().eval()
    known = {tuple(one.inputs.tokens([text])[0].tolist()): number for number, text in texts.items()}
    assert len(known) == len(texts)
    times = np.arange(round(SECONDS * FPS)) / FPS
    films = {n: torch.from_numpy(decode(listed / f"{n}.mp4", times=times, size=(32, 32)).video).float() for n in texts}

    def shown_in(clip):
        apart = {n: torch.cdist(clip.float().flatten(1), film.flatten(1)).min() for n, film in films.items()}
        return min(apart, key=apart.get)

    def alignability(video, tokens):
        shown = [shown_in(clip) for clip in video]
        said = [known.get(tuple(row[0].tolist())) for row in tokens]
        right = [s == n and n % 2 == 0 for s, n in zip(said, shown, strict=True)]
        return torch.tensor(right).float()[:, None].expand(-1, tokens.shape[1]) * 4 - 2

    monkeypatch.setattr(method, "alignability", alignability)
    loaded = SimpleNamespace(method=method, inputs=one.inputs, digest="abc")
    monkeypatch.setattr(_network, "load", lambda run, **_: loaded)
    return before


def test_what_a_run_holds_to_be_invisible_goes_by_a_probability_chosen_on_the_val_split(judging, listed, capsys):
    """All val sentences are even, so they are kept; of the test split the odd ones go, whatever their standing."""
    even = [replace(r, split="val" if r.narration and int(r.key[1:]) % 2 == 0 else "test") for r in judging.recordings]
    more = [replace(r, key=f"{r.key}-again") for r in even if r.split == "val"]
    replace(judging, recordings=(*even, *more)).save(listed / "val.jsonl")
    words = ["align", "runs/x", str(listed / "val.jsonl"), "-o", str(listed / "out.jsonl"), "--split", "test"]
    assert run([*words, "--hop", "0.25", "--json", str(listed / "told.json")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "recordings of the val split: under 0.88 probable are 0% of what is said there and 100% of what is " in shown
    assert "dropped is what the run holds less than 0.88 probable to be seen" in shown
    told = json.loads((listed / "told.json").read_text())
    assert told["alignable"] == pytest.approx(1 / (1 + np.exp(-2)))
    assert told["total"]["dropped"] == told["total"]["sentences"] == 5, "all of the test split are odd"
    assert {said["alignable"] for one in told["recordings"] for said in one["said"]} == {0.1192}
    assert run([*words, "--alignable", "0.1"]) == 0
    assert sum(len(one.narration) for one in Manifest.load(listed / "out.jsonl").split("test")) == 5
    capsys.readouterr()
    assert run([*words, "--standing", "0"]) == 0
    assert "probable" not in capsys.readouterr().out, "who asks for standing is given that"
    assert sum(len(one.narration) for one in Manifest.load(listed / "out.jsonl").split("test")) == 5


def test_without_validation_sentences_standing_tells_what_goes(judging, listed, capsys):
    words = ["align", "runs/x", str(listed / "in.jsonl"), "-o", str(listed / "out.jsonl"), "--split", "test"]
    assert run([*words, "--hop", "0.25", "--json", str(listed / "told.json")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "the val split has too few sentences to choose on (0 recordings with narration): what is dropped " in shown
    assert "alignable" not in (listed / "told.json").read_text()


def test_what_fits_badly_goes_and_chatter_even_where_it_happens_to_fit():
    """Forty greetings that fit as luck has it, and sixty sentences that belong."""
    ranks = [*((np.arange(40) + 0.5) / 40), *np.linspace(0.7, 0.99, 60)]
    phrases = [Phrase(0, 1, "welcome back everyone" if k < 40 else f"word{k}") for k in range(100)]
    placed = {f"r{k}": [Placed(phrases[k], phrases[k], rank, rank=rank)] for k, rank in enumerate(ranks)}

    def left(**asked):
        found, why = _dropped(placed, **{"standing": None, "chatter": 0.9, "alignable": None, **asked})
        return [key for key, (one,) in found.items() if one.after is None], why

    gone, why = left(standing=0.2, chatter=0)
    assert gone == [f"r{k}" for k in range(8)]
    assert why == "dropped is what fits less than 20% of other recordings worse than its own"
    gone, why = left(standing=0.2)
    assert 25 <= len(gone) <= 40
    assert all(int(key[1:]) < 40 for key in gone)
    assert why.endswith(f", and chatter, which is said alike in many recordings and fits none: {len(gone)} sentences")
    assert len(left()[0]) > len(gone), "0.8 of others, unless told"


def test_a_histogram_counts_each_sentence_once():
    phrase = Phrase(5.0, 6.0, "x")
    shifts = [-1.4, -0.6, -0.05, 0.0, 0.04, 0.05, 0.06, 0.5, 0.7, 1.0, 1.2]
    said = [Placed(phrase, moved(phrase, shift, 60.0), 1.0) for shift in shifts] + [Placed(phrase, None, 0.2)]
    found = histogram(said)
    assert found == {"sentences": 12, "dropped": 1, "shifts": [2, 0, 0, 4, 1, 1, 3]}
    assert row(said[-1]) == {"text": "x", "start": 5.0, "end": 6.0, "shift": None, "standing": 0.2}
    assert row(Placed(phrase, phrase, float("nan")))["standing"] is None
