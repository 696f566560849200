"""Sound to sound: which other recordings sound like this one? Made-up vectors, so it runs anywhere.

python retrieval/examples/intra_modal.py
"""

import tempfile
from typing import Any

import numpy as np

from retrieval import index, metrics
from retrieval.search import format_time, search
from retrieval.space import Space
from retrieval.store import Store

KINDS = ("bell", "drum", "siren", "rain")
RECORDINGS, WINDOWS, WIDTH = 24, 5, 32

random = np.random.default_rng(0)
sounds_of_kinds = random.standard_normal((len(KINDS), WIDTH))
vectors: list[np.ndarray[Any, Any]] = []
rows: list[dict[str, Any]] = []
for recording in range(RECORDINGS):
    kind = recording % len(KINDS)
    for window in range(WINDOWS):
        vectors.append(sounds_of_kinds[kind] + 0.8 * random.standard_normal(WIDTH))
        rows.append(
            {
                "recording": f"r{recording:02d}",
                "path": f"sounds/r{recording:02d}.wav",
                "start": 2.0 * window,
                "end": 2.0 * window + 2.0,
                "modality": "audio",
                "extra": {"kind": KINDS[kind]},
            }
        )
unit = np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)

with tempfile.TemporaryDirectory() as directory:
    space = Space(name="main", digest="made-up", modalities=("audio",), width=WIDTH)
    with Store.create(directory, space) as store:
        store.add(unit, rows)
        built = index.build(store)

        print(f"like {rows[0]['path']} ({KINDS[0]}), itself left out:")
        for hit in search(store, built, unit[:1], k=5, exclude_recording="r00", merge_seconds=0.5)[0]:
            print(f"  {hit.path} @ {format_time(hit.peak)}  {hit.score:.3f}  {hit.extra['kind']}")

        print("only sirens:")
        for hit in search(store, built, unit[:1], k=2, where=("extra ->> 'kind' = ?", ["siren"]))[0]:
            print(f"  {hit.path} @ {format_time(hit.peak)}  {hit.score:.3f}  {hit.extra['kind']}")

# How good is the space? Relevant is what is of the same kind; a window's own recording does not count.
kinds = np.array([row["extra"]["kind"] for row in rows])
recordings = [row["recording"] for row in rows]
own = metrics.same_recording(recordings, recordings)
relevance = kinds[:, None] == kinds[None, :]
print("measured", metrics.summarize(unit @ unit.T, relevance, exclude=own))
print("chance  ", metrics.chance(relevance, own))
