"""Damaged files are refused or do no harm: never is anything else read than what was written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from faults import seeded, trials
from made_up import SPACE, rows_of, vectors_of

from retrieval import index
from retrieval.__main__ import main
from retrieval.regions import Regions, add_regions
from retrieval.search import search
from retrieval.store import Store


def make(directory, dtype):
    with Store.create(directory, SPACE, dtype=dtype) as store:
        store.add(vectors_of(20), rows_of(20))
        store.add(vectors_of(4, seed=1), rows_of(4, first=20))
        store.remove([3])
        index.build(store)
        cells = np.random.default_rng(0).standard_normal((5, 2, 3, 5)).astype(np.float32)
        add_regions(store, [(range(4, 9), cells)])
        store.add(vectors_of(2, seed=2), rows_of(2, first=24))
        index.extend(store)


def read(directory):
    """All that can be read from a store, and what a search finds."""
    with Store.open(directory) as store:
        ids = store.ids()
        found = search(store, index.load(store), vectors_of(3, seed=9), k=4)
        video = store.ids("modality = 'video'").tolist()
        maps = {i: told.tobytes() for i, told in Regions(store).maps(ids, np.ones(5)).items()}
        return ids.tolist(), store.rows(ids), store.vectors(ids).tobytes(), video, list(found), store.recordings(), maps


def flip(random, raw):
    place = int(random.integers(8 * len(raw)))
    raw[place // 8] ^= 1 << place % 8


def cut(random, raw):
    del raw[int(random.integers(len(raw))) :]


def grow(random, raw):
    raw += random.bytes(int(random.integers(1, 200)))


def blank(random, raw):
    start = int(random.integers(len(raw)))
    raw[start : start + 64] = bytes(len(raw[start : start + 64]))


def double(random, raw):
    start = int(random.integers(len(raw)))
    raw[start:start] = raw[start : start + int(random.integers(1, 100))]


def change_json(random, raw):
    """One value of a JSON text, anywhere in it, becomes another one, or is gone."""
    data = json.loads(bytes(raw))
    where, key = data, None
    while isinstance(where, dict | list) and len(where) and (key is None or random.random() < 0.7):
        holder, keys = where, list(where) if isinstance(where, dict) else list(range(len(where)))
        key = keys[int(random.integers(len(keys)))]
        where = holder[key]
    values = [None, 0, -1, 2**70, 1.5, "", "x", "../x.npy", [], {}, True, float("nan"), [[0, 5]], "float64"]
    if random.random() < 0.2:
        del holder[key]
    else:
        holder[key] = values[int(random.integers(len(values)))]
    raw[:] = json.dumps(data, indent=None if random.random() < 0.5 else 1).encode()


BYTES = (flip, flip, cut, grow, blank, double)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_damaged_stores_are_refused_or_correct(tmp_path, dtype):
    random, _ = seeded(f"damaged stores of {dtype}")
    whole, copy = tmp_path / "whole", tmp_path / "copy"
    make(whole, dtype)
    right = read(whole)
    names = sorted(path.name for path in whole.iterdir() if path.name != "lock")
    refused = correct = 0
    count = trials(35, 700)
    for _ in range(count):
        name = str(random.choice(names))
        raw = bytearray((whole / name).read_bytes())
        changes = (*BYTES, change_json, change_json) if name == "manifest.json" else BYTES
        changes[int(random.integers(len(changes)))](random, raw)
        shutil.copytree(whole, copy)
        (copy / name).write_bytes(raw)
        try:
            found = read(copy)
        except ValueError as error:
            refused += "\n" not in str(error)
        else:
            assert found == right
            correct += 1
        shutil.rmtree(copy)
    assert refused + correct == count
    assert refused > correct


def test_damaged_files_given_to_a_store_are_refused_or_taken_whole(tmp_path, monkeypatch, capsys):
    random, _ = seeded("damaged input")
    monkeypatch.chdir(tmp_path)
    vectors = vectors_of(6)
    np.save("whole.npy", vectors)
    Path("whole.jsonl").write_text("\n".join(json.dumps(row | {"content": "c"}) for row in rows_of(6)))
    Path("whole.json").write_text(SPACE.to_json())
    kinds = ("npy", "jsonl", "json")
    for number in range(trials(30, 500)):
        raws = {kind: bytearray(Path(f"whole.{kind}").read_bytes()) for kind in kinds}
        kind = kinds[number % 3]
        change = change_json if kind == "json" and number % 2 else BYTES[int(random.integers(len(BYTES)))]
        change(random, raws[kind])
        for name, raw in raws.items():
            Path(f"given.{name}").write_bytes(raw)
        words = ["build", "s", "--vectors", "given.npy", "--rows", "given.jsonl", "--space", "given.json"]
        code = main(words)
        told = capsys.readouterr()
        if code:
            assert (code, told.err.count("\n")) == (2, 1), told.err
        else:
            with Store.open("s", verify=True) as store:
                assert len(store) == len(store.rows(store.ids())) == len(store.vectors(store.ids()))
                assert np.isfinite(store.vectors(store.ids())).all()
        shutil.rmtree("s", ignore_errors=True)
