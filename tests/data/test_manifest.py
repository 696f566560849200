import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import odd_work
import pytest
from few_clips import clip, tone
from typer.testing import CliRunner

from avssl.data import apart, audit
from avssl.data.encode import write_clip
from avssl.data.labels import read_labels
from avssl.data.manifest import Manifest, Recording, few, make
from avssl.data.narration import Phrase

VTT = "WEBVTT\n\n00:00:00.200 --> 00:00:00.900\nthe bell rings\n\n00:00:05.000 --> 00:00:06.000\ntoo late\n"


def still(path: Path, seconds: float, sound: np.ndarray | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, [np.full((48, 64, 3), 90, np.uint8)] * round(10 * seconds), 10, sound, 16000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of every oddity."""
    root = tmp_path_factory.mktemp("films")
    clip(root / "a" / "good.mp4", 1.5, 1)
    (root / "a" / "good.vtt").write_text(VTT)
    (root / "b").mkdir()
    (root / "b" / "copy.mp4").write_bytes((root / "a" / "good.mp4").read_bytes())
    clip(root / "test" / "held out" / "клип 你好.mp4", 1.0, 2)
    clip(root / "mute.mp4", 1.0, 3, sound=False)
    still(root / "still.mp4", 3.0, tone(3.0, 4))
    still(root / "silent.mkv", 2.0, np.zeros(32000, np.float32))
    clip(root / "short.mp4", 0.3, 5)
    whole = clip(root / "whole.mp4", 3.0, 6)
    data = whole.read_bytes()
    whole.unlink()
    (root / "cut.mp4").write_bytes(data[: len(data) // 2])
    (root / "random.mp4").write_bytes(np.random.default_rng(0).bytes(4000))
    (root / "empty.webm").touch()
    (root / "list.mp4").write_text("#EXTM3U\nhttp://127.0.0.1:9/x.ts\n")
    (root / "notes.txt").write_text("hello")
    (root / "lonely.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nnobody\n")
    (root / ".hidden.mp4").write_bytes(data)
    outside = tmp_path_factory.mktemp("elsewhere") / "out.mp4"
    outside.write_bytes(data)
    (root / "link.mp4").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent)
    os.mkfifo(root / "pipe.mp4")
    return root


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    told: list[tuple[int, int]] = []
    out = tmp_path_factory.mktemp("out") / "films.jsonl"
    manifest = make(folder, out=out, workers=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(k, told[-1][1]) for k in range(1, told[-1][1] + 1)]
    assert Manifest.load(out).digest() == manifest.digest()
    return manifest


def test_what_is_kept_and_flagged(made: Manifest) -> None:
    problems = {recording.key: recording.problems for recording in made.recordings}
    assert problems == {
        "a/good": ("narration: outside the recording (1)",),
        "mute": ("no sound",),
        "silent": ("silent", "still"),
        "still": ("still",),
        "test/held out/клип 你好": (),
    }
    good = made.recordings[0]
    assert good.narration == (Phrase(0.2, 0.9, "the bell rings"),)
    assert good.seconds == pytest.approx(1.5, abs=0.05)
    assert (good.video or {})["width"], (good.audio or {})["hz"] == (64, 16000)
    assert good.loudness_db == pytest.approx(20 * np.log10(0.3 / 2**0.5), abs=1)


def test_a_copy_that_is_left_out_gives_its_narration(folder: Path, tmp_path: Path) -> None:
    for name in ("a copy", "z"):
        shutil.copy(folder / "a/good.mp4", tmp_path / f"{name}.mp4")
    (tmp_path / "z.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nthe drum\n")
    held = make(tmp_path, workers=1)
    assert [(recording.key, recording.narration) for recording in held.recordings] == [
        ("a copy", (Phrase(0.1, 0.9, "the drum"),))
    ]
    assert held.left_out == (("z.mp4", "the same content as a copy.mp4, which takes its narration from z.srt"),)


def test_what_is_left_out_and_why(made: Manifest) -> None:
    reasons = dict(made.left_out)
    assert reasons.pop("random.mp4").startswith("cannot be opened as media")
    assert reasons.pop("cut.mp4").startswith("cannot be opened as media")
    assert reasons == {
        "b/copy.mp4": "the same content as a/good.mp4",
        "empty.webm": "is empty; a media file is needed",
        "folder": "a link to a folder; links are not followed",
        "link.mp4": "a link that leads out of the folder",
        "list.mp4": "is a playlist or text; name the media files themselves",
        "lonely.srt": "narration of no recording",
        "notes.txt": "by its name no video, sound or picture",
        "pipe.mp4": "is not a regular file; pipes and devices are not read",
        "short.mp4": "too short (0.32 s)",
    }


def test_of_a_file_and_a_link_to_it_the_file_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    clip(folder / "film.mp4", 1.0, 1)
    (folder / "a link.mp4").symlink_to(folder / "film.mp4")
    held = make(folder, workers=1)
    assert [one.key for one in held.recordings] == ["film"]
    assert held.left_out == (("a link.mp4", "the same content as film.mp4"),)


def test_few_recordings_are_warned_of(made: Manifest) -> None:
    assert any("few recordings" in warning and "configs/pretrained.yaml" in warning for warning in made.warnings)
    film = Recording(key="f", path="f", sha256="f", seconds=3600.0)
    assert few([film]) is None, "an hour is 360 items"
    assert few([film], least=361) is not None
    still = Recording(key="s", path="s", sha256="s", seconds=0.0, video={"width": 8})
    assert still.is_picture
    assert few([still]) == "few pictures to learn from (1): add some", "pretrained encoders need narrated videos"


def test_splits(made: Manifest, tmp_path: Path) -> None:
    assert next(r for r in made.recordings if "held out" in r.key).split == "test"
    counts = {"train": 0, "val": 0, "test": 0}
    for k in range(2000):
        counts[audit.split_of(f"{k}.mp4", f"{(k * 2654435761) % 2**32:08x}")] += 1
    assert counts["train"] == pytest.approx(1600, abs=80)
    assert counts["val"] == pytest.approx(200, abs=50)
    assert audit.split_of("Valid/x.mp4", "00000000") == "val"
    assert audit.split_of("train.mp4", "00000009") == audit.split_of("other.mp4", "00000009") == "test"
    with pytest.raises(ValueError, match="unknown split 'dev'; there are train, val, test"):
        made.split("dev")


def test_labels_and_grid_layout(tmp_path: Path) -> None:
    for k, name in enumerate(("bbaf2n", "bbaf3s", "pgax1n")):
        clip(tmp_path / "video" / f"{name}.mp4", 1.0, k)
        (tmp_path / "align").mkdir(exist_ok=True)
        (tmp_path / "align" / f"{name}.align").write_text("0 2500 sil\n2500 10000 bin\n10000 20000 blue\n")
    table = tmp_path / "labels.tsv"
    table.write_text(
        "clip\tcolour\tsplit\ttranscript\nbbaf2n\tblue\ttest\tbin blue\nbbaf3s\tred\tval\tbin\nnobody\tred\t\tx\n"
    )
    manifest = make(tmp_path / "video", labels=table, workers=1)
    assert [(r.key, r.split, dict(r.labels)) for r in manifest.recordings[:2]] == [
        ("bbaf2n", "test", {"colour": "blue", "transcript": "bin blue"}),
        ("bbaf3s", "val", {"colour": "red", "transcript": "bin"}),
    ]
    assert manifest.recordings[2].labels == {}
    assert [r.narration[0].text for r in manifest.recordings] == ["bin blue"] * 3
    assert manifest.recordings[0].narration[0].words == ((0.1, 0.4, "bin"), (0.4, 0.8, "blue"))
    assert f"{table}: 1 of 3 rows name no recording, or several: nobody, ..." in manifest.warnings


def test_folders_name_the_labels_of_what_lies_in_them(tmp_path: Path) -> None:
    for k, name in enumerate(("train/cat/a", "train/dog/b", "val/dog/c", "nowhere")):
        clip(tmp_path / "video" / f"{name}.mp4", 1.0, k)
    made = make(tmp_path / "video", labels=Path("folders"), workers=1)
    assert [(one.key, one.split, dict(one.labels)) for one in made.recordings if one.labels] == [
        ("train/cat/a", "train", {"kind": "cat"}),
        ("train/dog/b", "train", {"kind": "dog"}),
        ("val/dog/c", "val", {"kind": "dog"}),
    ]
    assert len(made.recordings) == 4, "what lies in no class folder is a recording without a label"
    for name in ("train", "val"):
        shutil.rmtree(tmp_path / "video" / name)
    with pytest.raises(ValueError, match=r"nothing in it lies in a class folder, such as .*cat"):
        make(tmp_path / "video", labels=Path("folders"), workers=1)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("file\tlabel\n", "no column named path or clip; its columns: file, label"),
        ("path\tsplit\na\tdev2\n", "line 2: split is 'dev2'; one of train, val, test"),
        ("path\tlabel\na\tb\tc\n", "line 2: more fields than columns"),
        ("", "no column named path or clip"),
    ],
)
def test_wrong_labels_are_one_line(tmp_path: Path, text: str, wrong: str) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text(text)
    with pytest.raises(ValueError, match=wrong) as caught:
        read_labels(table)
    assert "\n" not in str(caught.value)


def test_round_trip_and_moving_the_folder(tmp_path: Path) -> None:
    clip(tmp_path / "here" / "films" / "é.mp4", 1.0, 1)
    manifest = make(tmp_path / "here" / "films", out=tmp_path / "here" / "m.jsonl", workers=1)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Manifest.load(tmp_path / "there" / "m.jsonl")
    assert moved.path_of(moved.recordings[0]).is_file()
    assert moved.recordings[0].path == "films/é.mp4"
    assert moved.digest() == manifest.digest()
    elsewhere = tmp_path / "other" / "m.jsonl"
    moved.save(elsewhere)
    assert Manifest.load(elsewhere).recordings[0].path == str(tmp_path / "there" / "films" / "é.mp4")
    assert Manifest.load(elsewhere).digest() == manifest.digest()
    assert list(elsewhere.parent.iterdir()) == [elsewhere], "no partial files"


def test_digest_is_of_what_matters(made: Manifest) -> None:
    first = made.recordings[0]

    def digest(**changes: Any) -> str:
        return Manifest((Recording(**{**vars(first), **changes}), *made.recordings[1:])).digest()

    assert digest() == digest(path="/other/place.mp4") == digest(problems=()) == made.digest()
    changed = [digest(split="val"), digest(sha256="0"), digest(narration=()), digest(labels={"a": "b"})]
    assert len({made.digest(), *changed}) == 5


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (lambda lines: lines[1:], "m.jsonl: not a manifest; a manifest of recordings is wanted"),
        (lambda lines: [], "m.jsonl: not a manifest"),
        (lambda lines: [lines[0][:20], *lines[1:]], "made by: avssl manifest FOLDER -o m.jsonl"),
        (lambda lines: lines[:-1], "promises 5 recordings, the file holds 4; was it cut short"),
        (lambda lines: [*lines[:2], lines[2][:40], *lines[3:]], "line 3: not JSON"),
        (lambda lines: [*lines[:2], "[1]", *lines[3:]], "line 3: expected an object, got list"),
        (lambda lines: [*lines[:2], lines[1], *lines[3:]], "line 3: key 'a/good' already stands in line 2"),
        (lambda lines: [lines[0].replace('"avssl_manifest": 1', '"avssl_manifest": 9'), *lines[1:]], "version 9"),
        (lambda lines: [lines[0], lines[1].replace('nds": ', 'nds": -', 1), *lines[2:]], "line 2: seconds is -"),
        (lambda lines: [lines[0], lines[1].replace('"key"', '"kei"'), *lines[2:]], "line 2: unknown field 'kei'"),
        (lambda lines: [lines[0], lines[1].replace('bell rings"]', '", 1, 2]'), *lines[2:]], "line 2: narration"),
        (lambda lines: [lines[0], lines[1].replace('"split": "', '"split": "x'), *lines[2:]], "line 2: split is 'x"),
    ],
)  # fmt: skip
def test_damaged_manifests_name_the_line(
    made: Manifest, tmp_path: Path, damage: Callable[[list[str]], list[str]], wrong: str
) -> None:
    file = tmp_path / "m.jsonl"
    made.save(file)
    file.write_text("".join(f"{line}\n" for line in damage(file.read_text(encoding="utf-8").splitlines())))
    with pytest.raises(ValueError, match=wrong) as caught:
        Manifest.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_requests(tmp_path: Path, made: Manifest) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        make(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no video, sound or picture"):
        make(tmp_path)
    (tmp_path / "a.mp4").write_text("no film")
    with pytest.raises(ValueError, match=r"nothing in it can be read: a\.mp4"):
        make(tmp_path, workers=1)
    with pytest.raises(ValueError, match=r"is a folder; make its manifest first: avssl manifest"):
        Manifest.load(tmp_path)
    with pytest.raises(ValueError, match="No such file or directory; a manifest of recordings is wanted here, made by"):
        Manifest.load(tmp_path / "none.jsonl")


def test_a_file_name_that_is_not_unicode(tmp_path: Path) -> None:
    """Rows, pages and stores are UTF-8: it is left out before any work, in folders of such names too."""
    folder = tmp_path / "films"
    clip(folder / "a.mp4", 1.0, 1)
    for name in (b"\xff\xfe.mp4", b"a\xff.srt", b"\xfe/b.mp4"):
        path = Path(os.fsdecode(bytes(folder) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((folder / "a.mp4").read_bytes())
    (folder / "a\u2028b\x85.mp4").write_bytes(b"no film")
    manifest = make(folder, out=tmp_path / "m.jsonl", workers=1)
    loaded = Manifest.load(tmp_path / "m.jsonl")
    assert [one.key for one in loaded.recordings] == ["a"]
    assert sorted(path for path, reason in loaded.left_out if reason == audit.NOT_TEXT) == [
        r"\xfe/b.mp4", r"\xff\xfe.mp4", r"a\xff.srt"
    ]  # fmt: skip
    assert (tmp_path / "m.jsonl").read_text(encoding="utf-8"), "so is the manifest"
    assert loaded.left_out == manifest.left_out
    assert len(manifest.left_out) == 4


def test_a_crash_a_hang_or_a_blow_up_costs_that_file_only() -> None:
    tasks = ["a", "crash", "b", "hang", "leave", "memory", "value", "other", "c"]
    found = dict(apart.run(odd_work.look, tasks, lambda task: 2.0, workers=2))
    assert sorted(found) == list(range(9))
    assert [found[k] for k in (0, 2, 8)] == ["A", "B", "C"]
    assert found[1] == apart.Failed(f"the decoder crashed ({signal.Signals.SIGSEGV.name})")
    assert found[3] == apart.Failed("took longer than 2 s")
    assert found[4] == apart.Failed("the decoder crashed (exit code 3)")
    assert found[5] == apart.Failed("needs more than 8 GB of memory")
    assert found[6] == apart.Failed("not this")
    assert found[7] == apart.Failed("KeyError: 'that'")


def test_command_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avssl.cli import app, run

    monkeypatch.setenv("COLUMNS", "160")
    out = tmp_path / "m.jsonl"
    told = CliRunner().invoke(app, ["manifest", str(folder), "-o", str(out), "--workers", "2", "--no-images"]).output
    for words in ("train", "silent", "duplicate", "b/copy.mp4: the same content as a/good", "warning: few recordings"):
        assert words in told
    assert json.loads(out.read_text(encoding="utf-8").splitlines()[0])["recordings"] == 5
    assert run(["manifest", str(tmp_path / "none"), "-o", str(out)]) == 2
