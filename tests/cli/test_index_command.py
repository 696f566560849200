"""avssl index, new and --sync, over made-up vectors; the true road is in tests/e2e."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from avssl.cli import _vectors, run
from avssl.data.manifest import Manifest, Recording
from avssl.embedding import Embedded
from avssl.methods.base import Space
from retrieval import index
from retrieval.regions import Regions, add_regions
from retrieval.search import search
from retrieval.space import Space as StoredSpace
from retrieval.store import Store

WINDOWS = 3


def vectors_for(content, modality):
    seed = [ord(letter) for letter in content + modality]
    vectors = np.random.default_rng(seed).standard_normal((WINDOWS, 4))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Folder:
    """Recordings by name and content, as avssl manifest and avssl embed would write them."""

    def __init__(self, path: Path):
        self.path = path

    def manifest(self, name, **contents):
        made = [Recording(key=key, path=f"{key}.mp4", sha256=content, seconds=6) for key, content in contents.items()]
        Manifest(tuple(made), root=self.path).save(self.path / name)
        return self.path / name

    def vectors(self, name, hop=1.0, digest="d", new_for="", **contents):
        vectors, rows = {}, {}
        for modality in ("video", "audio") if contents else ():
            vectors[modality] = np.concatenate([vectors_for(content, modality) for content in contents.values()])
            rows[modality] = [
                {
                    "recording": key, "path": str(self.path / f"{key}.mp4"), "content": content, "modality": modality,
                    "start": 2.0 * n, "end": 2.0 * n + 2, "narration": f"{content} {n}", "extra": {"split": "train"},
                }
                for key, content in contents.items() for n in range(WINDOWS)
            ]  # fmt: skip
        partial = self.path / f".{name}"
        partial.mkdir()
        (partial / _vectors.PLAN).write_text("{}")
        _vectors.write_shard(partial / _vectors.SHARD.format(0), Embedded(Space(("video", "audio"), 4), vectors, rows))
        space = StoredSpace("main", digest, ("video", "audio"), 4)
        _vectors.seal(partial, self.path / name, space, _vectors.Source("runs/x", 2.0, hop, (), new_for))
        return self.path / name


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def avssl(capfd):
    def call(*words):
        capfd.readouterr()
        code = run([str(word) for word in words])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def held(path):
    """Content by recording, after checking that each recording's vectors are its content's and can be found."""
    with Store.open(path, verify=True) as store:
        built, contents = index.load(store), {}
        for name, told in store.recordings().items():
            (contents[name],) = told.contents
            for modality in ("video", "audio"):
                ids = store.ids("recording = ? AND modality = ?", [name, modality])
                right = vectors_for(contents[name], modality)
                np.testing.assert_allclose(store.vectors(ids), right, atol=1e-3)
                assert search(store, built, right[:1], k=1, modality=modality)[0][0].recording == name
        return contents


def test_an_index_follows_a_collection(folder, avssl):
    output = folder.path / "index"
    code, _, err = avssl("index", folder.vectors("all", a="1", b="2", c="3"), "-o", output, "--dtype", "float16")
    assert code == 0, err
    assert held(output) == {"a": "1", "b": "2", "c": "3"}
    # Only what is new or changed was embedded again; c has another name, a is gone.
    manifest = folder.manifest("later.jsonl", b="5", z="3", n="4")
    code, out, err = avssl("index", folder.vectors("new", b="5", n="4"), "-o", output, "--sync", "--manifest", manifest)
    assert (code, err) == (0, "")
    assert "1 new, 1 changed, 1 renamed, 1 deleted, 0 unchanged" in out
    assert held(output) == {"b": "5", "z": "3", "n": "4"}
    with Store.open(output) as store:
        assert store.dtype == "float16"
        assert {row.path for row in store.rows(store.ids("recording = 'z'"))} == {str(folder.path / "z.mp4")}
    # Nothing is new: no vectors are needed.
    code, out, _ = avssl("index", "-o", output, "--sync", "--manifest", folder.manifest("m.jsonl", b="5", y="3", n="4"))
    assert "0 new, 0 changed, 1 renamed, 0 deleted, 2 unchanged" in out
    assert held(output) == {"b": "5", "y": "3", "n": "4"}
    # The whole folder embedded again says the same without a manifest.
    code, out, _ = avssl("index", folder.vectors("whole", b="5", n="4"), "-o", output, "--sync")
    assert "0 new, 0 changed, 0 renamed, 1 deleted, 2 unchanged" in out
    assert held(output) == {"b": "5", "n": "4"}


def test_what_only_an_index_lacked_replaces_nothing(folder, avssl):
    """It is refused in one line that names the command, and the index is as it was; that command then does it."""
    output = folder.path / "index"
    assert avssl("index", folder.vectors("all", a="1", b="2"), "-o", output)[0] == 0
    before = (output / "manifest.json").read_bytes()
    new = folder.vectors("new", new_for=str(output), c="3")
    none = folder.vectors("none", new_for=str(output))
    manifest = folder.manifest("m.jsonl", a="1", b="2", c="3")
    for vectors in (new, none):
        for words in ((), ("--sync",)):
            code, out, err = avssl("index", vectors, "-o", output, *words)
            assert (code, out, err.count("\n")) == (2, "", 1), err
            assert f"avssl index {vectors} -o {output} --sync --manifest MANIFEST" in err
    code, _, err = avssl("index", new, "-o", folder.path / "indx", "--sync", "--manifest", manifest)
    assert (code, err.count("\n"), "indx is no index: name" in err) == (2, 1, True)
    assert not (folder.path / "indx").exists()
    assert (output / "manifest.json").read_bytes() == before
    assert avssl("index", new, "-o", output, "--sync", "--manifest", manifest)[0] == 0
    assert held(output) == {"a": "1", "b": "2", "c": "3"}
    assert avssl("index", none, "-o", output, "--sync", "--manifest", manifest)[0] == 0
    assert held(output) == {"a": "1", "b": "2", "c": "3"}
    # With what the index was made of, it is all there is.
    assert avssl("index", folder.vectors("rest", a="1", b="2"), new, "-o", folder.path / "both")[0] == 0
    assert held(folder.path / "both") == {"a": "1", "b": "2", "c": "3"}


def test_nothing_replaces_nothing_and_what_is_replaced_is_told(folder, avssl):
    output = folder.path / "index"
    assert "replaced" not in avssl("index", folder.vectors("all", a="1", b="2"), "-o", output)[1]
    before = (output / "manifest.json").read_bytes()
    code, out, err = avssl("index", folder.vectors("empty"), "-o", output)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "no vectors in it to index" in err
    assert (output / "manifest.json").read_bytes() == before
    code, out, _ = avssl("index", folder.vectors("more", c="3"), "-o", output)
    assert code == 0
    assert f"{output}: replaced; it held {4 * WINDOWS} vectors\n" in out
    assert held(output) == {"c": "3"}


def test_sync_makes_what_is_not_there(folder, avssl):
    output = folder.path / "index"
    words = ("index", folder.vectors("all", a="1", b="2"), "-o", output, "--sync")
    assert avssl(*words, "--manifest", folder.manifest("m.jsonl", a="1"))[0] == 0
    assert held(output) == {"a": "1"}


def test_an_index_that_is_made_again_keeps_its_regions(folder, avssl):
    output = folder.path / "index"
    assert avssl("index", folder.vectors("all", a="1", b="2"), "-o", output)[0] == 0
    with Store.open(output) as store:
        ids = store.ids("modality = 'video'")
        cells = np.random.default_rng(0).standard_normal((len(ids), 2, 3, 5)).astype(np.float32)
        add_regions(store, [(ids, cells)])
        query = np.ones(5)
        before = {(row.content, row.start): Regions(store).maps([row.id], query)[row.id] for row in store.rows(ids)}
    code, out, err = avssl("index", folder.vectors("more", n="4", z="2", a="1"), "-o", output)
    assert (code, err) == (0, "")
    assert f"{2 * WINDOWS} windows keep their regions" in out
    with Store.open(output, verify=True) as store:
        rows = {row.id: row for row in store.rows(store.ids("modality = 'video'"))}
        maps = Regions(store).maps(list(rows), query)
        assert {rows[i].recording for i in maps} == {"a", "z"}
        for identity, found in maps.items():
            np.testing.assert_array_equal(found, before[rows[identity].content, rows[identity].start])
    # Another network's places are another's: that is said, and the index is made.
    code, _, err = avssl("index", folder.vectors("other", digest="e", a="1"), "-o", output)
    assert code == 0
    assert "cannot be kept" in err
    assert err.count("\n") == 1
    assert held(output) == {"a": "1"}


def test_mistakes_are_one_line_and_change_nothing(folder, avssl):
    output, vectors = folder.path / "index", folder.vectors("all", a="1")
    assert avssl("index", vectors, "-o", output)[0] == 0
    before = json.loads((output / "manifest.json").read_text())
    nothing = folder.manifest("nothing.jsonl")
    for words, said in (
        ((vectors, "--manifest", nothing), "give both"),
        (("--sync",), "name the folders"),
        ((vectors, "--sync", "--manifest", nothing), "would delete all 6 vectors of"),
        ((vectors, "--sync", "--dtype", "float16"), "keeps vectors as float32"),
        ((vectors, "--dtype", "int8"), "float32 or float16, not 'int8'"),
        ((folder.vectors("hop", hop=0.5, a="1"), "--sync"), "2 s every 0.5 s"),
        ((folder.vectors("other", digest="e", a="1"), "--sync"), "the same run"),
    ):
        code, out, err = avssl("index", *words, "-o", output)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert said in err
        assert "--yes" not in err, "a word of the other command"
    assert json.loads((output / "manifest.json").read_text()) == before


def test_an_index_whose_replacing_was_cut_short_is_back(folder, avssl):
    made, out = folder.vectors("first", one="a"), folder.path / "index"
    assert avssl("index", made, "-o", out)[0] == 0
    for word in ("partial", "gone"):
        shutil.copytree(out, folder.path / f".index.78.{word}")
    out.rename(folder.path / ".index.77.old")
    code, _, err = avssl("index", folder.vectors("second", two="b"), "-o", out, "--sync")
    assert code == 0
    assert f"{out}: its replacing had been cut short; what was there before is back" in " ".join(err.split())
    assert not list(folder.path.glob(".index.*"))
