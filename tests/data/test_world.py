"""A world on disk: the same for any number of workers, resumable, and what its truth says it is."""

import hashlib
import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from avssl.cli.world import world
from avssl.data.manifest import make
from avssl.data.subtitles import read
from avssl.data.world import LEVELS, cases_per_split, make_world
from avssl.data.world.scene import Scene, plan
from avssl.data.world.write import split_sizes

SMALL = {"clips": 12, "side": 64, "seconds": 2.0, "seed": 3}


def scene(split: str, index: int, level: str = "easy", seconds: float = 4.0) -> Scene:
    return plan(0, split, index, level, 112, 12.5, seconds)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    out = tmp_path_factory.mktemp("world") / "w"
    return out, make_world(out, **SMALL, workers=1)


def test_any_number_of_workers_makes_the_same_files(made: tuple[Path, list[dict]], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    make_world(tmp_path / "w", **SMALL, workers=2, progress=lambda done, total: told.append((done, total)))
    assert digests(tmp_path / "w") == digests(made[0])
    assert told == [(k + 1, 12) for k in range(12)]


def test_layout(made: tuple[Path, list[dict]]) -> None:
    out, records = made
    assert records == [json.loads(line) for line in (out / "truth.jsonl").read_text().splitlines()]
    rows = [line.split("\t") for line in (out / "labels.tsv").read_text().splitlines()]
    assert rows[0] == ["path", "split", "kind", "case"]
    assert len(rows) == 1 + len(records)
    for (path, split, kind, case), record in zip(rows[1:], records, strict=True):
        assert (out / "videos" / path).exists()
        cues = read((out / "videos" / path).with_suffix(".vtt"))
        told = [(one["start"], one["end"], one["text"]) for one in record["narration"]]
        assert sorted((cue.start, cue.end, cue.text) for cue in cues) == sorted(told)
        assert (split, kind, case) == (record["split"], record["kind"] or "", record["case"])
        assert path == f"{split}/{record['id']}.mp4"
    assert json.loads((out / "world.json").read_text())["seed"] == 3
    assert not list(out.rglob("*partial*"))


def test_a_larger_world_holds_the_smaller(tmp_path: Path, made: tuple[Path, list[dict]]) -> None:
    larger = make_world(tmp_path / "w", **{**SMALL, "clips": 16}, workers=1)
    by_id = {record["id"]: record for record in larger}
    assert all(by_id[record["id"]] == record for record in made[1])
    first = "videos/train/train-00000.mp4"
    assert (tmp_path / "w" / first).read_bytes() == (made[0] / first).read_bytes()


def test_goes_on_where_it_stopped_and_repeats_nothing(tmp_path: Path) -> None:
    out = tmp_path / "w"
    make_world(out, **{**SMALL, "clips": 6}, workers=1)
    before = digests(out)
    kept = out / "videos" / "train" / "train-00001.mp4"
    for gone in ("truth.jsonl", "labels.tsv", "videos/train/train-00000.mp4", "videos/test/test-00000.vtt"):
        (out / gone).unlink()
    stamp = kept.stat().st_mtime_ns
    make_world(out, **{**SMALL, "clips": 6}, workers=1)
    assert digests(out) == before
    assert kept.stat().st_mtime_ns == stamp


def test_refusals(made: tuple[Path, list[dict]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no level 'simple'; the levels are easy, medium, hard"):
        make_world(tmp_path / "w", level="simple")
    assert not (tmp_path / "w").exists()
    with pytest.raises(ValueError, match="holds a world with seed 3, not 4: choose another folder"):
        make_world(made[0], **{**SMALL, "seed": 4})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds other files and no world\.json"):
        make_world(tmp_path / "mine", **SMALL)
    with pytest.raises(ValueError, match="clips is 2; a world needs at least 3"):
        make_world(tmp_path / "w", clips=2)
    with pytest.raises(ValueError, match="side is 63"):
        make_world(tmp_path / "w", side=63)


def test_splits_and_cases() -> None:
    assert split_sizes(1200) == {"train": 960, "val": 96, "test": 144}
    assert split_sizes(3) == {"train": 1, "val": 1, "test": 1}
    for level in LEVELS:
        for split in ("val", "test"):
            cases = [scene(split, k, level).case for k in range(20)]
            shares = {case: cases.count(case) / 20 for case in cases}
            if level == "crowded":
                assert shares == {"three": 0.4, "two": 0.3, "one": 0.1, "silent": 0.1, "offscreen": 0.1}
            else:
                assert shares == {"one": 0.4, "bystander": 0.3, "two": 0.1, "silent": 0.1, "offscreen": 0.1}
    counted = cases_per_split([{"split": "val", "case": "one"}] * 2)
    assert counted["val"] == {"one": 2}
    train = [scene("train", k) for k in range(60)]
    assert {s.case for s in train} == {"one", "bystander"}
    assert 0.3 < np.mean([s.case == "bystander" for s in train]) < 0.7
    assert {s.case for s in (scene("train", k, "hard") for k in range(60))} == set(LEVELS["hard"].held_out)


def test_files_decode_to_the_plan(tmp_path: Path) -> None:
    """Case by case, as read back from disk: silence is silence, solo sounds add up, the clip is as long as stated."""
    make_world(tmp_path / "w", clips=42, side=64, seconds=1.5, workers=1)
    records = [json.loads(line) for line in (tmp_path / "w" / "truth.jsonl").read_text().splitlines()]
    seen = set()
    for record in records:
        if record["split"] != "test":
            continue
        seen.add(record["case"])
        with av.open(str(tmp_path / "w" / "videos" / "test" / f"{record['id']}.mp4")) as container:
            sound = np.concatenate([block.to_ndarray() for block in container.decode(audio=0)], 1)[0, :24000]
        with av.open(str(tmp_path / "w" / "videos" / "test" / f"{record['id']}.mp4")) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == len(record["things"][0]["boxes"]) == 19
        assert len(sound) == 24000
        assert (np.abs(sound).max() < 1e-4) == (record["case"] == "silent")
        if record["case"] == "two":
            solos = []
            for n in range(2):
                with wave.open(str(tmp_path / "w" / "solo" / f"{record['id']}.{n}.wav")) as file:
                    assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16000, 1, 24000)
                    solos.append(np.frombuffer(file.readframes(24000), "<i2") / 32767)
            assert np.corrcoef(sum(solos), sound)[0, 1] > 0.98
    assert seen == set(LEVELS["hard"].held_out)


def test_the_truth_is_no_recording(tmp_path: Path) -> None:
    """Whoever trains on the whole folder does not train on what things of the test clips sound like alone."""
    make_world(tmp_path / "w", clips=42, side=32, seconds=1.0, workers=1)
    solo = sorted((tmp_path / "w" / "solo").glob("*.wav"))
    assert solo
    held = make(tmp_path / "w", workers=1)
    assert len(held.recordings) == 42
    assert all(recording.path.startswith("videos/") for recording in held.recordings)
    (reason,) = [reason for path, reason in held.left_out if path.startswith("solo")]
    assert reason.startswith("a folder that holds .nomedia")
    # Who names it means it.
    assert len(make(tmp_path / "w" / "solo", workers=1).recordings) == len(solo)
    # A world of an earlier version gets the mark when it is made again.
    (tmp_path / "w" / "solo" / ".nomedia").unlink()
    make_world(tmp_path / "w", clips=42, side=32, seconds=1.0, workers=1)
    assert len(make(tmp_path / "w", workers=1).recordings) == 42


def test_the_command(made: tuple[Path, list[dict]], capsys: pytest.CaptureFixture[str]) -> None:

    world(made[0], clips=12, side=64, seconds=2.0, seed=3, workers=1)
    table = capsys.readouterr().out
    assert all(word in table for word in ("train", "val", "test", "bystander"))
