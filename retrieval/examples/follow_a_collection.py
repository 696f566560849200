"""A store that follows a folder: files come, are renamed and go. Made-up vectors, so it runs anywhere.

python retrieval/examples/follow_a_collection.py
"""

import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from retrieval import index
from retrieval.space import Space
from retrieval.store import Store
from retrieval.sync import Made, Wanted, sync

WIDTH = 16


def embed(recordings: Sequence[Wanted]) -> Iterator[Made]:
    """Three windows of each recording; called with those alone that the store does not hold yet."""
    print("  embedding", [recording.key for recording in recordings])
    for recording in recordings:
        vectors = np.random.default_rng(list(recording.content.encode())).standard_normal((3, WIDTH))
        rows = [
            {
                "recording": recording.key,
                "path": recording.path,
                "content": recording.content,
                "start": 2.0 * window,
                "end": 2.0 * window + 2.0,
                "modality": "audio",
            }
            for window in range(3)
        ]
        yield Made(recording.key, vectors, rows)


def folder(names: dict[str, str]) -> list[Wanted]:
    """What the folder holds: name -> hash of the content."""
    return [Wanted(name, f"sounds/{name}.wav", content) for name, content in names.items()]


days = {
    "first": {"bell": "c0ffee", "drum": "beef", "rain": "f00d"},
    "second": {"bell": "c0ffee", "big drum": "beef", "siren": "cafe"},  # drum was renamed, rain deleted, siren is new
    "third": {"bell": "c0ffee", "big drum": "beef", "siren": "cafe"},
}
with tempfile.TemporaryDirectory() as directory:
    space = Space(name="main", digest="made-up", modalities=("audio",), width=WIDTH)
    with Store.create(directory, space) as store:
        for day, names in days.items():
            print(f"{day} day:", sync(store, folder(names), embed))
            built, what = index.update(store)
            print(f"  {len(store)} windows, index {what}")
