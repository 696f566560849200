"""All nine directions, picture, sound and text to each: searching a store gives the figures that the matrix gives."""

import numpy as np
import pytest

from avssl.evaluation import finding
from retrieval import index
from retrieval.search import search
from retrieval.space import Space
from retrieval.store import Store

MODALITIES = ("video", "audio", "text")
RECORDINGS, WIDTH = 14, 8
LABELS = ["bell", "drum", "dog", "", *["bell", "drum"] * 5]


@pytest.fixture(scope="module")
def told():
    """Modality -> recording -> unit vector: a common meaning and noise, the text of two recordings missing."""
    random = np.random.default_rng(3)
    kinds = {label: random.standard_normal(WIDTH) for label in sorted(set(LABELS))}
    found = {}
    for modality in MODALITIES:
        noisy = np.array([kinds[label] for label in LABELS]) + 0.7 * random.standard_normal((RECORDINGS, WIDTH))
        unit = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
        found[modality] = {k: unit[k] for k in range(RECORDINGS) if modality != "text" or k not in (5, 9)}
    return found


@pytest.fixture(scope="module")
def made(told, tmp_path_factory):
    folder = tmp_path_factory.mktemp("directions") / "store"
    with Store.create(folder, Space("main", "d", MODALITIES, WIDTH)) as store:
        for modality, vectors in told.items():
            rows = [
                {"recording": f"r{k}", "path": f"r{k}.mp4", "start": 0.0, "end": 1.0, "modality": modality,
                 "extra": {"kind": LABELS[k]}}
                for k in vectors
            ]  # fmt: skip
            store.add(np.stack(list(vectors.values())), rows)
        yield store, index.build(store, "exact")


def test_all_nine_are_judged(told):
    wanted = {f"{a}_to_{b}" for a in MODALITIES for b in MODALITIES}
    table = finding.table(told, told, LABELS)
    assert set(table) == wanted
    assert table["text_to_text"]["n"] == table["video_to_text"]["n"] == RECORDINGS - 2
    for figures in table.values():
        assert set(figures) == {*finding.FIGURES, "n"}


@pytest.mark.parametrize("source", MODALITIES)
@pytest.mark.parametrize("target", MODALITIES)
def test_searching_a_store_gives_the_figures_of_the_matrix(made, told, source, target):
    store, built = made
    both = sorted(set(told[source]) & set(told[target]))
    among = " OR ".join(["recording = ?"] * len(both))
    names = [f"r{k}" for k in both]
    found = search(
        store, built, np.stack([told[source][k] for k in both]), k=RECORDINGS, modality=target,
        where=(among, names), exclude_recording=names if source == target else None,
    )  # fmt: skip
    judged = finding.direction(told[source], told[target], LABELS, intra=source == target)
    assert judged is not None
    assert judged[0]["n"] == len(both)
    ranks, gains = [], []
    for k, hits in zip(both, found, strict=True):
        assert len(hits) == len(both) - (source == target)
        alike = [
            hit.recording == f"r{k}" or (LABELS[k] != "" and hit.extra["kind"] == LABELS[k]) for hit in hits
        ]  # fmt: skip
        right = alike if source == target else [hit.recording == f"r{k}" for hit in hits]
        ranks.append(right.index(True) + 1 if any(right) else len(hits) + 1)
        discount = 1 / np.log2(np.arange(2, 12))
        if any(alike):
            best = discount[: min(10, sum(alike))].sum()
            gains.append((np.array(alike[:10]) * discount[: len(alike[:10])]).sum() / best)
    figures = {
        **{f"r{at}": np.mean(np.array(ranks) <= at) for at in (1, 5, 10)},
        "medr": np.median(ranks),
        "ndcg10": np.mean(gains),
    }
    # No ties among these vectors, so every figure is exact.
    for name in finding.FIGURES:
        assert judged[0][name] == pytest.approx(figures[name]), name
