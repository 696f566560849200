"""Moments instead of windows, queries of several parts, more of the same, one list of all modalities. Made-up vectors.

python retrieval/examples/moments_and_mixtures.py
"""

import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval import index
from retrieval.query import Query, Term
from retrieval.search import format_time, like, search
from retrieval.space import Space
from retrieval.store import Store

KINDS = ("bell", "dog", "rain", "speech")
RECORDINGS, WINDOWS, WIDTH = 12, 30, 32
MODALITIES = ("video", "audio", "text")

random = np.random.default_rng(0)
meaning = {kind: random.standard_normal(WIDTH) for kind in KINDS}
# What sets the modalities apart in a space learned by contrast: each lies around a point of its own.
place = {modality: 1.5 * random.standard_normal(WIDTH) for modality in MODALITIES}


def tell(kinds: set[str], modality: str) -> NDArray[np.float64]:
    """A unit vector of what happens, in one modality."""
    total = sum((meaning[kind] for kind in kinds), 0.4 * random.standard_normal(WIDTH)) + place[modality]
    unit: NDArray[np.float64] = total / np.linalg.norm(total)
    return unit


vectors, rows = [], list[dict[str, Any]]()
for recording in range(RECORDINGS):
    event, begins = KINDS[recording % 2], 5 + recording  # a bell or a dog for six windows; rain in every third
    for window in range(WINDOWS):
        kinds = {"speech"} | ({event} if begins <= window < begins + 6 else set())
        kinds |= {"rain"} if recording % 3 == 0 else set()
        for modality in ("video", "audio"):
            vectors.append(tell(kinds, modality))
            start = 0.5 * window
            rows.append(
                {
                    "recording": f"r{recording:02d}",
                    "path": f"videos/r{recording:02d}.mp4",
                    "start": start,
                    "end": start + 1.0,
                    "modality": modality,
                    "narration": " and ".join(sorted(kinds)),
                }
            )


def show(title: str, hits: Any) -> None:
    """Print hits as lines."""
    print(title)
    for hit in hits:
        times = f"{format_time(hit.start)} to {format_time(hit.end)}, best at {format_time(hit.peak)}"
        standard = "" if hit.calibrated is None else f" ({hit.calibrated:+.1f} standard deviations)"
        print(f"  {hit.path} {hit.modality:5} {times}  {hit.score:.3f}{standard}  {hit.narration}")


with tempfile.TemporaryDirectory() as directory:
    space = Space(name="main", digest="made-up", modalities=MODALITIES, width=WIDTH)
    with Store.create(directory, space) as store:
        store.add(np.array(vectors), rows)
        built = index.build(store)
        bell, rain = tell({"bell"}, "text"), tell({"rain"}, "audio")

        show("a bell, as moments:", search(store, built, [bell], k=3, modality="video", merge_seconds=0.5)[0])
        mixed = Query([Term(bell, 1.0, "text"), Term(rain, -1.0, "audio")])
        show("a bell, but not rain:", search(store, built, [mixed], k=3, modality="video", merge_seconds=0.5)[0])
        first = search(store, built, [bell], k=1, modality="audio")[0][0]
        more = like(store, built, first.id, k=3, exclude_own_recording=True, merge_seconds=0.5)
        show(f"more like {first.path} at {format_time(first.peak)}:", more)
        asked = Query([Term(bell, 1.0, "text")])
        both = search(store, built, [asked], k=6, calibrated=True, merge_seconds=0.5, each_modality=True)[0]
        show("pictures and sounds in one list:", both)
