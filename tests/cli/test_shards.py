"""Shards: the same vectors for any number of ranks, and after being killed anywhere; none is done twice."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_embedding import Plain, recording

from avssl.cli import _shards, _vectors
from avssl.cli._shards import Job, embed_shards
from avssl.config import InputsConfig
from avssl.data.manifest import Manifest
from avssl.data.narration import Phrase
from avssl.embedding import Embedder, embed_recordings
from avssl.inputs import Inputs, Vocabulary

SOURCE = _vectors.Source("runs/x", 1.0, 0.5)
COUNT = 7


@pytest.fixture(scope="module")
def held(tmp_path_factory) -> Manifest:
    folder = tmp_path_factory.mktemp("clips")
    said = (Phrase(0.2, 1.0, "the bell rings"),)
    clips = [
        recording(folder, f"clip{k}", 1.0 + 0.4 * k, sound=k != 2, phrases=said if k in (0, 5) else ())
        for k in range(COUNT)
    ]
    return Manifest(tuple(clips), root=folder)


def job_of(held: Manifest, size: int = 2, **changes) -> Job:
    cfg = InputsConfig(height=32, width=32, frames=4, fps=4.0, audio_seconds=1.0, tokens=8)
    inputs = Inputs(cfg, Vocabulary.train(["the bell rings", "the dog barks"], 60))
    return Job(Embedder(Plain(inputs), inputs), held, "d" * 64, SOURCE, shard_recordings=size, **changes)


def content(folder: Path):
    return [(np.asarray(vectors).tobytes(), rows) for vectors, rows in _vectors.read(folder)]


def shards_of(folder: Path) -> dict[str, int]:
    """Shard -> a number that changes when it is written again."""
    return {path.name: path.stat().st_ino for path in folder.glob("shard-*")}


@pytest.fixture(scope="module")
def whole(held, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "vectors"
    summary = embed_shards(job_of(held), folder)
    assert summary is not None
    assert summary.recordings == {"video": 7, "audio": 6, "text": 2}
    assert summary.skipped == {"without narration": 5, "without sound": 1}
    return folder


def test_what_is_embedded(held, whole):
    wanted = embed_recordings(job_of(held).embedder, held)
    found = {rows[0]["modality"]: (vectors, rows) for vectors, rows in _vectors.read(whole)}
    assert found.keys() == wanted.vectors.keys()
    for modality, (vectors, rows) in found.items():
        assert rows == wanted.rows[modality]
        assert np.allclose(vectors, wanted.vectors[modality], atol=1e-6)
    assert _vectors.read_space(whole).width == 4
    assert sorted(path.name for path in whole.iterdir()) == [
        "plan.json", "shard-00000", "shard-00001", "shard-00002", "shard-00003", "source.json", "space.json",
    ]  # fmt: skip
    assert [path.name for path in whole.parent.iterdir()] == ["vectors"]


@pytest.mark.parametrize("world", [2, 3, 5])
def test_any_number_of_ranks_gives_the_same(held, whole, tmp_path, world):
    told = {}

    def rank(number):
        told[number] = embed_shards(job_of(held), tmp_path / "vectors", number, world)

    threads = [threading.Thread(target=rank, args=(number,)) for number in reversed(range(world))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [number for number, summary in told.items() if summary is not None] == [0]
    assert content(tmp_path / "vectors") == content(whole)


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
import torch
torch.set_num_threads(1)
from pathlib import Path
import avssl.cli._shards as shards
import test_shards
from avssl.data.manifest import Manifest
job = test_shards.job_of(Manifest.load(Path(sys.argv[2])))
made = 0
embed = shards.embed_recordings
def counted(*arguments, **options):
    global made
    made += 1
    if made > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return embed(*arguments, **options)
shards.embed_recordings = counted
shards.embed_shards(job, Path(sys.argv[3]))
"""


def test_killed_and_started_again(held, whole, tmp_path):
    """Alone, then one of two ranks, then alone again: what was done is kept, and the bits are those of one run."""
    held.save(tmp_path / "held.jsonl")
    here = Path(__file__).parent
    out, partial = tmp_path / "vectors", tmp_path / ".vectors.partial"
    words = [sys.executable, "-c", KILLED, os.pathsep.join(map(str, (here, here.parent))), tmp_path / "held.jsonl", out]
    killed = subprocess.run(words, check=False, timeout=120, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    first = shards_of(partial)
    assert list(first) == ["shard-00000"]
    assert not out.exists()
    (partial / ".shard-00001").mkdir()  # what a kill in the middle of writing leaves
    (partial / ".shard-00001" / "vectors-video.npy").write_bytes(b"half")
    with pytest.raises(ValueError, match="holds no vectors"):
        _vectors.read_space(out)
    loaded = Manifest.load(tmp_path / "held.jsonl")
    embed_shards(job_of(loaded), out, 1, 2)  # shards 1 and 3, without waiting for anyone
    second = shards_of(partial)
    assert second == first | {name: second[name] for name in ("shard-00001", "shard-00003")}
    summary = embed_shards(job_of(loaded), out)
    assert summary is not None
    assert summary.kept == 3
    done = shards_of(out)
    assert done == second | {"shard-00002": done["shard-00002"]}
    assert content(out) == content(whole)


def test_a_whole_folder_is_not_done_again_and_another_replaces_it(held, tmp_path, monkeypatch):
    out = tmp_path / "vectors"
    embed_shards(job_of(held), out)
    before = shards_of(out)
    summary = embed_shards(job_of(held), out)
    assert summary is not None
    assert (summary.kept, summary.vectors["video"]) == (4, 26)
    assert shards_of(out) == before
    part = replace(held, recordings=held.recordings[:3])
    embed_shards(job_of(part, modalities=["video"]), out)
    assert {row["recording"] for _, rows in _vectors.read(out) for row in rows} == {"clip0", "clip1", "clip2"}
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]
    monkeypatch.setattr(_shards, "SHARD_SECONDS", 2.0)
    assert [len(shard) for shard in job_of(held, 3).shards()] == [2, 2, 1, 1, 1]


def test_another_network_replaces_nothing(held, whole, tmp_path, monkeypatch):
    """What hours of embedding made is not replaced by a slip; the same network goes on, and replaces."""
    out = tmp_path / "vectors"
    shutil.copytree(whole, out)
    before = shards_of(out)
    monkeypatch.setattr(_shards, "embed_recordings", lambda *_, **__: pytest.fail("it embedded first"))
    with pytest.raises(ValueError, match=r"vectors of another network \(dddddddddddd, this is eeeeeeeeeeee\)") as told:
        embed_shards(replace(job_of(held), digest="e" * 64), out)
    assert str(out) in str(told.value)
    assert shards_of(out) == before
    monkeypatch.undo()
    assert embed_shards(job_of(held), out).kept == 4
    part = replace(held, recordings=held.recordings[:1])
    assert embed_shards(job_of(part), out).recordings == {"video": 1, "audio": 1, "text": 1}


def test_other_windows_replace_nothing(held, whole):
    job = job_of(held)
    before = content(whole)
    for seconds, hop in ((0.5, 0.5), (1.0, 0.25)):
        other = replace(job, source=replace(SOURCE, window_seconds=seconds, hop_seconds=hop))
        with pytest.raises(
            ValueError, match=f"windows of 1 s every 0.5 s, not windows of {seconds:g} s every {hop:g} s"
        ):
            embed_shards(other, whole)
    assert content(whole) == before


def test_plans_are_as_before_there_were_parts_of_collections(held):
    """Vectors that an earlier version made are known again, and not embedded once more."""
    assert "new_for" not in job_of(held).plan()
    assert "augment" not in job_of(held).plan()
    assert '"augment": true' in replace(job_of(held), source=replace(SOURCE, augment=True)).plan()
    assert '"new_for": "index"' in replace(job_of(held), source=replace(SOURCE, new_for="index")).plan()


CUT_SHORT = """
import os, signal, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
import torch
torch.set_num_threads(1)
from dataclasses import replace
from pathlib import Path
import avssl.cli._shards as shards
import test_shards
from avssl.data.manifest import Manifest
job = replace(test_shards.job_of(Manifest.load(Path(sys.argv[2]))), modalities=["audio"])
real = os.replace
for calls, folder in enumerate(map(Path, sys.argv[3:])):
    child = os.fork()
    if not child:
        left = calls
        def counted(*paths):
            global left
            if folder in paths or Path(paths[0]).suffix == ".old":
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
            return real(*paths)
        os.replace = counted
        shards.embed_shards(job, folder)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, calls
"""


def test_killed_while_it_replaces_a_folder(held, tmp_path):
    """Before each of the three renames: what was there, or what was made, is whole, and the next leaves no litter."""
    part = replace(held, recordings=held.recordings[:2])
    part.save(tmp_path / "held.jsonl")
    part = Manifest.load(tmp_path / "held.jsonl")
    old, new = job_of(part, modalities=["video"]), job_of(part, modalities=["audio"])
    outs = [tmp_path / name / "vectors" for name in ("first", "second", "third")]
    for out in outs:
        embed_shards(old, out)
    before, inode = content(outs[0]), outs[1].stat().st_ino
    here = Path(__file__).parent
    words = [sys.executable, "-c", CUT_SHORT, os.pathsep.join(map(str, (here, here.parent))), tmp_path / "held.jsonl"]
    killed = subprocess.run([*words, *outs], check=False, timeout=120, capture_output=True, text=True)
    assert killed.returncode == 0, killed.stderr
    assert [out.exists() for out in outs] == [True, False, True]
    assert content(outs[0]) == before
    assert {row["modality"] for _, rows in _vectors.read(outs[2]) for row in rows} == {"audio"}
    # Who wants the old one again has it: it is not embedded once more.
    assert embed_shards(old, outs[1]) is not None
    assert outs[1].stat().st_ino == inode
    for out in outs:
        embed_shards(new, out)
        assert content(out) == content(outs[2])
        assert [path.name for path in out.parent.iterdir()] == ["vectors"]


def test_another_plan_begins_anew(held, tmp_path):
    """Half-done work of other settings is never mixed in."""
    out = tmp_path / "vectors"
    embed_shards(job_of(held), tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / ".vectors.partial")
    embed_shards(replace(job_of(held), source=replace(SOURCE, hop_seconds=1.0)), out)
    assert len({row["start"] for _, rows in _vectors.read(out) for row in rows if row["recording"] == "clip3"}) == 3


def test_wrong_requests(held, tmp_path):
    out = tmp_path / "vectors"
    with pytest.raises(ValueError, match="cannot embed image"):
        embed_shards(job_of(held, modalities=["image"]), out)
    with pytest.raises(ValueError, match="at least 1"):
        embed_shards(job_of(held, 0), out)
    mute = Manifest((held.recordings[2],), root=held.root)
    with pytest.raises(ValueError, match="nothing to embed in 1 recording: 1 without sound"):
        embed_shards(job_of(mute, modalities=["audio"]), out)
    assert list(tmp_path.iterdir()) == []
    embed_shards(job_of(held), out)
    (out / "shard-00001" / "rows-video.jsonl").write_text("{}")
    with pytest.raises(ValueError, match=r"rows-video\.jsonl is damaged"):
        embed_shards(job_of(held), out)


def test_one_at_a_time(held, tmp_path, monkeypatch):
    inside, go = threading.Event(), threading.Event()
    embed = _shards.embed_recordings

    def slow(*arguments, **options):
        inside.set()
        assert go.wait(60)
        return embed(*arguments, **options)

    monkeypatch.setattr(_shards, "embed_recordings", slow)
    thread = threading.Thread(target=embed_shards, args=(job_of(held), tmp_path / "vectors"))
    thread.start()
    assert inside.wait(60)
    with pytest.raises(ValueError, match="is being written by process"):
        embed_shards(job_of(held), tmp_path / "vectors")
    go.set()
    thread.join(60)
    assert (tmp_path / "vectors" / "space.json").exists()
