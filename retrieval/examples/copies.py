"""Copies of a store: a Parquet file and a Milvus, here an embedded one. Needs avssl[milvus,parquet].

python retrieval/examples/copies.py
"""

import tempfile
from pathlib import Path

import numpy as np

from retrieval import parquet
from retrieval.engine import Directory, Engine, mirror
from retrieval.milvus import MilvusStore
from retrieval.space import Space
from retrieval.store import Store

WIDTH, COUNT = 32, 500

vectors = np.random.default_rng(0).standard_normal((COUNT, WIDTH))
rows = [
    {
        "recording": f"r{k // 10}",
        "path": f"videos/r{k // 10}.mp4",
        "start": float(k % 10),
        "end": k % 10 + 1.0,
        "modality": "video",
    }
    for k in range(COUNT)
]

with tempfile.TemporaryDirectory() as folder:
    space = Space(name="main", digest="made-up", modalities=("video",), width=WIDTH)
    with Store.create(Path(folder) / "moments", space) as store:
        store.add(vectors, rows)
        file = Path(folder) / "moments.parquet"
        print(parquet.export(store, file), "rows in Parquet")
        with parquet.restore(file, Path(folder) / "again") as again:
            print(len(again), "vectors in a store made of it")

        # A cluster instead: MilvusStore.open_or_create("http://milvus.example:19530", space, token="user:password")
        with MilvusStore.open_or_create(Path(folder) / "moments.db", space) as copy:
            print("on a Milvus:", mirror(store, copy))
            store.remove([7])
            print("after a removal:", mirror(store, copy))
            engines: list[Engine] = [Directory(store), copy]
            here, there = (engine.search(vectors[:3], k=5, where=("recording <> ?", ["r3"])) for engine in engines)
            print("the same hits:", here == there)
