"""A made-up collection of recordings that changes, and what embedding it would give."""

import zlib

import numpy as np
from made_up import vectors_of

from retrieval.sync import Made, Wanted

WINDOWS = 3


def listed(**contents):
    """Recordings by name and content."""
    return [Wanted(name, f"films/{name}.mp4", content) for name, content in contents.items()]


def vectors_for(content):
    """What a network makes of this content; of "broken" nothing."""
    return vectors_of(0 if content == "broken" else WINDOWS, seed=zlib.crc32(content.encode()))


def rows_for(name, content):
    return [
        {
            "recording": name, "path": f"films/{name}.mp4", "content": content, "modality": "video",
            "start": 2.0 * number, "end": 2.0 * number + 2, "narration": f"{content} {number}",
        }
        for number in range(len(vectors_for(content)))
    ]  # fmt: skip


def embedder(asked):
    """A stand-in for a network, which notes what it is asked for."""

    def embed(recordings):
        for recording in recordings:
            asked.append(recording.key)
            rows = [row | {"path": recording.path} for row in rows_for(recording.key, recording.content)]
            yield Made(recording.key, vectors_for(recording.content), rows)

    return embed


def state_of(store):
    """Path and content of every recording held. Each is held whole, with its own vectors."""
    found = {}
    for name in store.recordings():
        rows = store.rows(store.ids_of([name]))
        (told,) = {(row.path, row.content) for row in rows}
        assert [row.narration for row in rows] == [row["narration"] for row in rows_for(name, told[1])]
        np.testing.assert_array_equal(store.vectors([row.id for row in rows]), vectors_for(told[1]))
        found[name] = told
    return found


def random_changes(seed, count):
    """That many lists of wanted recordings: few names and contents, so that they meet again and change hands."""
    random = np.random.default_rng([seed, 7])
    goals = []
    for _ in range(count):
        names = random.permutation(list("abcdefgh"))[: random.integers(1, 8)]
        goals.append(listed(**{str(name): str(random.integers(8)) for name in names}))
    return goals
