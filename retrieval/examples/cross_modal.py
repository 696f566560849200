"""Text to picture and sound: which second of which video? Made-up vectors, so it runs anywhere.

python retrieval/examples/cross_modal.py
"""

import tempfile

import numpy as np
from numpy.typing import NDArray

from retrieval import index, metrics
from retrieval.search import format_time, search
from retrieval.space import Space
from retrieval.store import Store

MOMENTS, WIDTH = 40, 32

# One meaning per moment; each modality tells it with its own noise.
random = np.random.default_rng(0)
meaning = random.standard_normal((MOMENTS, WIDTH))


def tell(noise: float) -> NDArray[np.float64]:
    """Unit vectors of all moments, [MOMENTS, WIDTH], in one modality."""
    noisy = meaning + noise * random.standard_normal(meaning.shape)
    unit: NDArray[np.float64] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    return unit


told = {"video": tell(0.7), "audio": tell(0.7), "text": tell(1.0)}


def rows_of(modality: str) -> list[dict[str, object]]:
    """The rows of one modality: four moments of ten seconds in each of ten recordings."""
    return [
        {
            "recording": f"r{moment // 4}",
            "path": f"videos/r{moment // 4}.mp4",
            "start": 10.0 * (moment % 4),
            "end": 10.0 * (moment % 4) + 10.0,
            "modality": modality,
            "narration": f"someone says what happens in moment {moment}",
        }
        for moment in range(MOMENTS)
    ]


with tempfile.TemporaryDirectory() as directory:
    space = Space(name="main", digest="made-up", modalities=("video", "audio", "text"), width=WIDTH)
    with Store.create(directory, space) as store:
        for modality in ("video", "audio"):
            store.add(told[modality], rows_of(modality))
        built = index.build(store)

        query = told["text"][[9]]  # the second moment of r2, from 10 s on
        for modality in ("video", "audio"):
            print(f"text -> {modality}")
            for hit in search(store, built, query, k=3, modality=modality, space=space)[0]:
                print(f"  {hit.path} @ {format_time(hit.peak)}  {hit.score:.3f}  {hit.narration}")

own_pair = np.arange(MOMENTS)
relevance = np.eye(MOMENTS)
for source, target in (("text", "video"), ("text", "audio"), ("audio", "video"), ("video", "audio")):
    scores = told[source] @ told[target].T
    print(f"{source} -> {target}", metrics.summarize(scores, relevance, positive=own_pair))
print("chance", metrics.chance(relevance, positive=own_pair))
print(f"modality gap of text and video: {metrics.modality_gap(told['text'], told['video']):.3f}")
print(f"hubness of text -> video: {metrics.hubness(told['text'] @ told['video'].T, 10):.3f}")
