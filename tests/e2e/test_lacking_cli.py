"""A folder of which a third lacks sound and a third lacks narration: a run and vectors that use all of it."""

import json
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from made_media import tone, write

from avssl.cli import run

SMALL = [
    "data.batch=6", "data.workers=0", "data.cache_gb=0", "log_every=1", "threads=1", "precision=fp32", "steps=6",
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=4", "inputs.audio_seconds=1",
    "inputs.mels=16", *(f"encoders.{kind}.width=16" for kind in ("video", "audio", "text")),
    "encoders.text.layers=1",
]  # fmt: skip
WIDTHS = {"mmv": ["method.fine=32", "method.coarse=16"]}
KINDS = ("whole", "mute", "untold")
TRAIN, TEST = 12, 6


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Recordings of 1.5 s, by turns with everything, without sound, and without narration; and their manifest."""
    folder = tmp_path_factory.mktemp("lacking")
    films = folder / "films"
    films.mkdir()
    rows = ["path\tsplit"]
    for index in range(TRAIN + TEST):
        kind, draw = KINDS[index % 3], np.random.default_rng(index)
        picture = draw.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
        sound = tone(1.5, 16000, 0.3, 200 + 100 * index)
        path = films / f"{index:02d}-{kind}.mp4"
        write(
            path, fps=Fraction(8), count=12, picture=lambda frame, held=picture: held[frame % 2], sound=sound,
            hz=16000, audio=None if kind == "mute" else "aac",
        )  # fmt: skip
        if kind != "untold":
            path.with_suffix(".srt").write_text(f"1\n00:00:00,200 --> 00:00:01,200\nthing number {index} is here\n")
        rows.append(f"{path.name}\t{'train' if index < TRAIN else 'test'}")
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    words = ["manifest", films, "--labels", folder / "labels.tsv", "-o", folder / "m.jsonl", "--workers", 1]
    assert run([str(word) for word in words]) == 0
    return folder


def train(home, name, monkeypatch):
    """A few steps of a method: what was told, the items that its batches held, and the log's lines."""
    from avssl.methods.base import find

    kind, seen = find(name), Counter()
    forward = kind.forward

    def counted(self, batch, turn="main"):
        seen.update(batch["index"].tolist())
        return forward(self, batch, turn)

    monkeypatch.setattr(kind, "forward", counted)
    out = home / f"{name}-run"
    words = [*SMALL, *WIDTHS.get(name, ["method.width=32"]), "-o", str(out)]
    assert run(["train", name, f"data={home / 'm.jsonl'}", *words]) == 0
    return out, seen, [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_items_that_lack_something_are_learnt_from_judged_and_embedded(home, monkeypatch, capsys):
    capsys.readouterr()
    out, seen, lines = train(home, "everything_at_once", monkeypatch)
    told = capsys.readouterr().out
    assert f"{TRAIN} items of {TRAIN} recordings to train on" in told
    assert "without sound" not in told
    assert sorted(seen) == list(range(TRAIN)), "no item is thrown away"
    assert set(seen.values()) == {3}, "two batches make an epoch"
    learnt = [line for line in lines if "loss" in line]
    # of pictures all are there, of sounds and of words two thirds
    shares = [(one["present"] + other["present"]) / 2 for one, other in zip(learnt[::2], learnt[1::2], strict=True)]
    assert shares == pytest.approx([(1 + 2 / 3 + 2 / 3) / 3] * 3)
    assert all(np.isfinite(line["loss"]) for line in learnt)
    assert run(["evaluate", str(out), str(home / "m.jsonl")]) == 0
    judged = json.loads((out / "results.json").read_text())
    assert {"text_to_video", "audio_to_video"} <= set(judged["retrieval"])
    capsys.readouterr()
    assert run(["embed", str(out), str(home / "m.jsonl"), "-o", str(home / "v")]) == 0
    told = capsys.readouterr().out
    third = (TRAIN + TEST) // 3
    assert f"{third} without sound, skipped there" in told
    assert f"{third} without narration, skipped there" in told
    rows = {
        line.split()[0]: line.split()[1:] for line in told.splitlines() if line.startswith(("video", "audio", "text"))
    }
    assert {kind: int(row[2]) for kind, row in rows.items()} == {
        "video": TRAIN + TEST, "audio": TRAIN + TEST - third, "text": TRAIN + TEST - third,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "with_sound"), [("trimodal", "dense"), ("mmv", "sounds")])
def test_terms_without_what_lacks_are_learnt_from(name, with_sound, home, monkeypatch, capsys):
    capsys.readouterr()
    _, seen, lines = train(home, name, monkeypatch)
    told = capsys.readouterr().out
    assert f"{TRAIN} items of {TRAIN} recordings to train on" in told
    assert "without sound" not in told
    assert dict(seen) == dict.fromkeys(range(TRAIN), 3)
    assert all(np.isfinite(line["loss"]) and line[with_sound] > 0 for line in lines if "loss" in line)
