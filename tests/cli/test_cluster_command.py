"""avssl cluster, with a run's own clusters and with k-means, from a folder and from vectors that are there."""

import json
import shutil
from fractions import Fraction

import numpy as np
import pytest
import torch
from made_media import tone, write

from avssl.cli import _shards, run
from avssl.cli._vectors import read_space
from avssl.data.manifest import make
from avssl.embedding import Embedder, embed_recordings
from avssl.train.checkpoint import load_run

SMALL = [
    "steps=3", "data.batch=4", "data.workers=0", "data.cache_gb=0", "threads=1", "method.clusters=3", "method.area=1",
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=4", "inputs.audio_seconds=1",
    "inputs.mels=16", "encoders.video.width=16", "encoders.audio.width=16",
]  # fmt: skip
FILES = 12


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Recordings of 2 s: a square that is somewhere else in each, and a tone of its own; and an xdc run on them."""
    home = tmp_path_factory.mktemp("clusters")
    (home / "films").mkdir()
    for number in range(FILES):
        gray = np.zeros((48, 64, 3), np.uint8)
        gray[4 * (number % 3) :][:16, 5 * number :][:, :12] = 200

        def moving(index, gray=gray):
            return np.roll(gray, index, 1)

        sound = tone(2.0, 16000, 0.3, 200.0 * (1 + number % 4))
        path = home / "films" / f"film{number:02d}.mp4"
        write(path, picture=moving, count=20, fps=Fraction(10), sound=sound, hz=16000)
    assert run(["train", "xdc", f"data={home / 'films'}", *SMALL, "-o", str(home / "run")]) == 0
    return home


@pytest.fixture
def avssl(capfd):
    def call(*words):
        capfd.readouterr()
        code = run([str(word) for word in words])
        return code, *capfd.readouterr()

    return call


def by_the_method(home):
    """How many moments the run's own clustering puts into each of its clusters that has any."""
    loaded = load_run(home / "run")
    embedder = Embedder(loaded.method, loaded.inputs, None)
    held = make(home / "films")
    found = embed_recordings(embedder, held, hop_seconds=embedder.window.seconds, modalities=["video"])
    numbers = loaded.method.cluster("video", torch.from_numpy(found.vectors["video"]))
    return [int(count) for count in torch.bincount(numbers) if count]


def test_the_runs_own_clusters_of_a_folder(home, avssl, tmp_path):
    code, out, err = avssl("cluster", home / "run", home / "films", "-o", tmp_path / "own")
    assert code == 0, err
    lines = [json.loads(line) for line in (tmp_path / "own" / "clusters.jsonl").read_text().splitlines()]
    assert 1 <= len(lines) <= 3
    assert {line["number"] for line in lines} <= {0, 1, 2}
    assert sum(line["moments"] for line in lines) == 2 * FILES, "windows of 1 s, end to end"
    assert f"{2 * FILES} moments in {len(lines)} clusters by video, xdc" in out
    assert sorted(line["moments"] for line in lines) == sorted(by_the_method(home)), "the method's, not k-means'"
    page = (tmp_path / "own" / "clusters.html").read_text()
    assert page.count("<video") == sum(len(line["examples"]) for line in lines)
    assert (tmp_path / "own" / "clusters.png").stat().st_size > 1000


def test_k_means_by_sound_as_json(home, avssl, tmp_path):
    code, out, err = avssl(
        "cluster", home / "run", home / "films", "-o", tmp_path / "k", "-k", 4, "--by", "audio", "--most", 8, "--json"
    )
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 4
    assert sum(line["moments"] for line in lines) == 16
    assert [line["moments"] for line in lines] == sorted((line["moments"] for line in lines), reverse=True)
    assert f"looking at 8 of {FILES} recordings; --most 0 looks at all" in err


def test_vectors_that_are_there_are_not_made_again(home, avssl, tmp_path):
    assert avssl("embed", home / "run", home / "run" / "manifest.jsonl", "-o", tmp_path / "v", "--hop", 1)[0] == 0
    code, out, err = avssl("cluster", home / "run", tmp_path / "v", "-o", tmp_path / "a", "--json")
    assert code == 0, err
    anew = avssl("cluster", home / "run", home / "run" / "manifest.jsonl", "-o", tmp_path / "b", "--json")
    assert anew[0] == 0
    assert out == anew[1]


def test_what_was_killed_goes_on(home, avssl, tmp_path, monkeypatch):
    once = embedding_of_each(monkeypatch, _shards, stop_at=2)
    monkeypatch.setattr(_shards, "SHARD_SECONDS", 8.0)
    words = ["cluster", home / "run", home / "run" / "manifest.jsonl", "-o", tmp_path / "k", "--json"]
    code, _, err = avssl(*words)
    assert code != 0
    assert "vectors of what was finished" in err
    assert once == [4, 4]
    assert avssl(*words)[0] == 0
    assert once == [4, 4, 4, 4], "three shards: the first was kept, the second begun anew"
    lines = (tmp_path / "k" / "clusters.jsonl").read_text()
    code, _, err = avssl(*words)
    assert code == 0, err
    assert len(once) == 4, "nothing was embedded again"
    assert (tmp_path / "k" / "clusters.jsonl").read_text() == lines
    assert avssl(*words, "-k", 2)[1].count("\n") == 2
    assert len(once) == 4
    assert avssl(*words, "--by", "audio")[0] == 0
    assert len(once) == 7, "another modality's vectors take their place"


def embedding_of_each(monkeypatch, module, stop_at):
    """How many recordings each shard had that was begun; the one by this number is interrupted."""
    once = []
    real = module.embed_recordings

    def counted(embedder, manifest, **kept):
        once.append(len(manifest.recordings))
        if len(once) == stop_at:
            raise KeyboardInterrupt
        return real(embedder, manifest, **kept)

    monkeypatch.setattr(module, "embed_recordings", counted)
    return once


def test_another_networks_vectors_make_room(home, avssl, tmp_path):
    assert run(["train", "xdc", f"data={home / 'films'}", *SMALL, "seed=1", "-o", str(tmp_path / "other")]) == 0
    words = [home / "films", "-o", tmp_path / "k", "--json"]
    assert avssl("cluster", tmp_path / "other", *words)[0] == 0
    before = read_space(tmp_path / "k" / "moments").digest
    code, _, err = avssl("cluster", home / "run", *words)
    assert code == 0, err
    assert read_space(tmp_path / "k" / "moments").digest != before
    # Where no clusters were written, somebody else may have embedded what lies there.
    shutil.copytree(tmp_path / "k" / "moments", tmp_path / "own" / "moments")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "own").rglob("*")}
    for asked in ((tmp_path / "other", home / "films"), (home / "run", home / "films", "--most", 3)):
        code, _, err = avssl("cluster", *asked, "-o", tmp_path / "own")
        told = err.splitlines()[-1]
        assert (code, "moments holds other vectors" in told, "Traceback" in err) == (2, True, False), err
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "own").rglob("*")} == before
    assert avssl("cluster", home / "run", home / "films", "-o", tmp_path / "own")[0] == 0, "the same, as after a kill"
    (tmp_path / "k" / "moments" / "space.json").write_text("{")
    code, _, err = avssl("cluster", home / "run", *words)
    assert code == 2
    assert f"{tmp_path / 'k' / 'moments' / 'space.json'}: " in err


def test_one_is_no_plural(home, avssl, tmp_path):
    code, out, err = avssl("cluster", home / "run", home / "films", "-o", tmp_path / "one", "-k", 1, "--most", 1)
    assert code == 0, err
    assert "2 moments in 1 cluster by video" in out
    page = tmp_path / "one" / "clusters.html"
    assert "2 moments of 1 recording" in page.read_text()
    page.unlink()  # as a kill leaves it
    assert avssl("cluster", home / "run", home / "films", "-o", tmp_path / "one", "-k", 1, "--most", 1)[0] == 0
    assert page.is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere: no such folder or manifest"),
        (["FILMS", "--by", "text"], "--by text: xdc embeds video, audio"),
        (["FILMS", "-k", "99"], f"99 clusters of {2 * FILES} moments: ask for 1 to {2 * FILES}"),
        (["FILMS", "-k", "-1"], "-k is -1; it must be at least 0"),
        (["FILMS", "--label", "mood"], "--label mood: these recordings have split"),
        (["FILMS", "-o", "FILE"], "is a file; name a folder"),
        (["FILMS", "-o", "RUN"], "holds other files: name another folder"),
    ],
)
def test_wrong_requests_are_one_line_and_exit_2(home, avssl, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    places = {"FILMS": home / "run" / "manifest.jsonl", "FILE": home / "run" / "run.json", "RUN": home / "run"}
    code, _, err = avssl("cluster", home / "run", *(places.get(word, word) for word in words))
    assert code == 2
    assert told in err
