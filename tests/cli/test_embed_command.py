"""avssl embed --new-for: exactly what an index lacks or holds otherwise, whatever has changed meanwhile."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_embedding import Plain, recording

from avssl.cli import _network, _vectors, run
from avssl.config import InputsConfig
from avssl.data.manifest import Manifest
from avssl.data.narration import Phrase
from avssl.embedding import Embedder, embed_recordings
from avssl.embedding.recordings import expected_rows
from avssl.inputs import Inputs, Vocabulary
from avssl.train.build import Loaded
from retrieval.store import Store
from retrieval.sync import held_digests

BELL, DOG = Phrase(0.2, 1.0, "the bell rings"), Phrase(0.4, 0.9, "the dog barks")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    silent = recording(folder, "d", 1.3, sound=False)
    return folder, [recording(folder, name, 1.0 + k / 2, phrases=(BELL,)) for k, name in enumerate("abc")] + [silent]


@pytest.fixture
def avssl(clips, tmp_path, monkeypatch, capfd):
    """Commands over a network that tells what was put in; its index is at index/."""
    cfg = InputsConfig(height=32, width=32, frames=4, fps=4.0, audio_seconds=1.0, tokens=8)
    inputs = Inputs(cfg, Vocabulary.train(["the bell rings", "the dog barks"], 60))
    monkeypatch.setattr(_network, "load", lambda *_: Loaded(None, Plain(inputs).eval(), inputs, "d" * 64, None, 0))
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()

    def call(*words):
        capfd.readouterr()
        code = run([str(word) for word in words])
        return code, *capfd.readouterr()

    def embed(name, recordings, *words):
        Manifest(tuple(recordings), root=clips[0]).save(Path(f"{name}.jsonl"))
        code, out, err = call("embed", "run", f"{name}.jsonl", "-o", name, "--device", "cpu", *words)
        return code, out, err, {path.name for path in Path(name).glob("shard-*")} if Path(name).exists() else set()

    call.embed = embed
    code, _, err, _ = embed("all", clips[1], "--hop", "0.5")
    assert code == 0, err
    assert call("index", "all", "-o", "index")[0] == 0
    return call


def embedded(folder):
    """The recordings whose vectors a folder holds."""
    return {row["recording"] for _, rows in _vectors.read(Path(folder)) for row in rows}


def test_nothing_new_is_nothing_to_embed(avssl, clips):
    moved = [replace(one, key=f"x/{one.key}") for one in clips[1]]
    for name, recordings in (("same", clips[1]), ("renamed", moved), ("fewer", clips[1][:2])):
        code, out, err, shards = avssl.embed(name, recordings, "--new-for", "index")
        assert (code, shards) == (0, set()), err
        assert "nothing to embed" in out


def test_whatever_changed_is_embedded_and_the_index_becomes_what_is_wanted(avssl, clips):
    folder, (a, b, c, d) = clips
    shutil.copy(folder / "c.mp4", folder / "copy.mp4")
    wanted = [
        replace(a, narration=(BELL, DOG)),  # other words
        replace(b, labels={"kind": "drum"}),
        replace(c, key="moved"),
        replace(c, key="copy", path=str(folder / "copy.mp4")),  # one more of the same content
        d,
        recording(folder, "new", 0.8),
    ]
    code, out, err, _ = avssl.embed("new", wanted, "--new-for", "index")
    assert code == 0, err
    found = embedded("new")
    assert {"a", "b", "new"} < found
    assert len(found & {"moved", "copy"}) == 1
    assert len(found) == 4
    # Neither word may be left out: what the index holds beside would go.
    for words in ((), ("--sync",)):
        code, _, told = avssl("index", "new", "-o", "index", *words)
        assert (code, "avssl index new -o index --sync --manifest MANIFEST" in told) == (2, True)
    next_command = out.strip().splitlines()[-1].partition("next: avssl ")[2]
    assert next_command == "index new -o index --sync --manifest new.jsonl"
    assert avssl(*next_command.split())[0] == 0
    code, out, err, _ = avssl.embed("anew", wanted, "--hop", "0.5")
    assert (code, "next: avssl index anew -o index-anew\n" in out) == (0, True), (
        "index is there, and not to be replaced"
    )
    assert avssl("index", "anew", "-o", "fresh")[0] == 0
    with Store.open("index") as synced, Store.open("fresh") as fresh:
        assert held_digests(synced) == held_digests(fresh)
        for name in fresh.recordings():
            ids = [store.ids_of([name]) for store in (synced, fresh)]
            rows = [[(row.modality, row.start, row.end, row.path) for row in store.rows(i)]
                    for store, i in zip((synced, fresh), ids, strict=True)]  # fmt: skip
            order = [sorted(range(len(told)), key=told.__getitem__) for told in rows]
            assert sorted(rows[0]) == sorted(rows[1])
            np.testing.assert_allclose(
                synced.vectors(ids[0])[order[0]], fresh.vectors(ids[1])[order[1]], atol=1e-6, err_msg=name
            )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--window", "0.75"], "holds windows of 1 s every 0.5 s: leave --window, --hop and --augment out"),
        (["--hop", "0.25"], "leave --window, --hop and --augment out"),
        (["--augment"], "holds windows of 1 s every 0.5 s: leave --window, --hop and --augment out"),
        (["--only", "video"], "holds video, audio, text, and --only leaves some of it out"),
    ],
)
def test_other_settings_are_refused_in_one_line(avssl, clips, words, said):
    code, out, err, _ = avssl.embed("other", clips[1], "--new-for", "index", *words)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err
    # The same said in so many words is no other.
    assert avssl.embed("same", clips[1], "--new-for", "index", "--window", "1", "--hop", "0.5")[0] == 0


def test_an_augmented_index_is_asked_and_extended_as_it_was_made(avssl, clips):
    folder, recordings = clips
    assert avssl.embed("slower", recordings, "--hop", "0.5", "--augment")[0] == 0
    assert avssl("index", "slower", "-o", "ears")[0] == 0
    words = ("search", "ears", "--audio", folder / "c.mp4", "--in", "audio", "--windows", "--json", "--top", "1")
    code, out, err = avssl(*words)
    assert code == 0, err
    (hit,) = map(json.loads, out.splitlines())
    assert (hit["recording"], hit["score"]) == ("c", pytest.approx(1.0, abs=1e-5))
    one = recording(folder, "later", 1.0)
    assert avssl.embed("more", [*recordings, one], "--new-for", "ears")[0] == 0
    assert avssl("index", "more", "-o", "ears", "--sync", "--manifest", "more.jsonl")[0] == 0
    assert avssl.embed("whole", [*recordings, one], "--hop", "0.5", "--augment")[0] == 0
    made = {(row["recording"], row["start"]): vector for vectors, rows in _vectors.read(Path("whole"))
            for vector, row in zip(vectors, rows, strict=True) if row["modality"] == "audio"}  # fmt: skip
    with Store.open("ears") as store:
        ids = store.ids("modality = ?", ["audio"])
        assert len(ids) == len(made)
        for row, vector in zip(store.rows(ids), store.vectors(ids), strict=True):
            np.testing.assert_allclose(vector, made[row.recording, row.start], atol=1e-5)


def test_plain_and_augmented_vectors_are_not_kept_together(avssl, clips):
    assert avssl.embed("slower", clips[1], "--hop", "0.5", "--augment")[0] == 0
    plain, slower = (f"windows of 1 s every 0.5 s{more}" for more in ("", ", sounds at several speeds"))
    for folders, said in (
        (("all", "slower"), f"all holds {plain}, slower has {slower}: embed alike"),
        (("slower", "all"), f"slower holds {slower}, all has {plain}: embed alike"),
    ):
        assert avssl("index", *folders, "-o", "mixed") == (2, "", f"error: {said}\n")
    code, _, err, _ = avssl.embed("slower", clips[1], "--hop", "0.5")
    assert (code, f"slower holds {slower}, not {plain}: name another folder" in err) == (2, True)


def test_an_index_knows_its_run_from_any_folder(avssl, clips, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    asked = ("search", "../index", "--audio", clips[0] / "c.mp4", "--in", "audio", "--json", "--top", "1")
    code, out, err = avssl(*asked)
    assert (code, json.loads(out)["recording"]) == (0, "c"), err


def test_a_modality_that_an_index_lacks_is_something_new(avssl, clips):
    assert avssl.embed("pictures", clips[1], "--only", "video", "--hop", "0.5")[0] == 0
    assert avssl("index", "pictures", "-o", "seen")[0] == 0
    code, _, err, _ = avssl.embed("heard", clips[1], "--new-for", "seen")
    assert code == 0, err
    assert embedded("heard") == {"a", "b", "c"}  # d has neither sound nor words
    assert avssl.embed("none", clips[1], "--new-for", "seen", "--only", "video")[1].count("nothing to embed") == 1


def test_an_index_that_does_not_say_its_windows_is_told(avssl, clips):
    (Path("index") / "source.json").unlink()
    code, _, err, _ = avssl.embed("other", clips[1], "--new-for", "index")
    assert (code, "does not say what run made it" in err) == (2, True)


@pytest.mark.parametrize("hop", [0.3, 0.5, 1.0])
def test_expected_rows_are_those_that_embedding_gives(clips, hop):
    cfg = InputsConfig(height=32, width=32, frames=4, fps=4.0, audio_seconds=1.0, tokens=8)
    inputs = Inputs(cfg, Vocabulary.train(["the bell rings"], 60))
    embedder, (folder, recordings) = Embedder(Plain(inputs), inputs), clips
    short = replace(recordings[2], audio={"seconds": 0.9}, key="short sound")
    for one in (*recordings, short):
        made = embed_recordings(embedder, Manifest((one,), root=folder), hop_seconds=hop)
        told = expected_rows(embedder, Path(one.path), one, embedder.modalities, hop)
        key = lambda row: (row["modality"], row["start"], row["end"])  # noqa: E731
        assert sorted(told, key=key) == sorted((row for rows in made.rows.values() for row in rows), key=key)
