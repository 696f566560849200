"""Finding across modalities: every ordered pair, each modality among itself too, with chance beside."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval import metrics

Figures = dict[str, float]
FIGURES = ("r1", "r5", "r10", "medr", "ndcg10")


def relevance(labels: Sequence[str]) -> NDArray[np.float64]:
    """1 where two recordings carry the same label, [N, N]; a recording without a label is relevant to itself alone."""
    names = np.asarray(labels, dtype=object)
    same = (names[:, None] == names[None, :]) & (names[:, None] != "")
    return np.asarray(same | np.eye(len(names), dtype=np.bool_), dtype=np.float64)


def directions(modalities: Sequence[str]) -> list[tuple[str, str]]:
    """Every ordered pair; a modality with itself comes last."""
    across = [(a, b) for a in modalities for b in modalities if a != b]
    return across + [(a, a) for a in modalities]


def direction(
    queries: Mapping[int, NDArray[np.float32]],
    gallery: Mapping[int, NDArray[np.float32]],
    labels: Sequence[str],
    *,
    intra: bool,
) -> tuple[Figures, Figures] | None:
    """Figures of one direction and those of a random order; None with fewer than two recordings that have both.

    Args:
        queries: recording -> unit vector [D]; ``gallery`` likewise. Judged are the recordings that are in both.
        labels: of all recordings, "" for none.
        intra: one modality among itself: the query's own recording is taken out and any other of its label is right.
            Otherwise r1 to medr ask for the query's own recording, and ndcg10 for any of its label.
    """
    both = sorted(set(queries) & set(gallery))
    if len(both) < 2:
        return None
    a = np.stack([queries[index] for index in both]).astype(np.float64)
    b = np.stack([gallery[index] for index in both]).astype(np.float64)
    grades = relevance([labels[index] for index in both])
    own = np.arange(len(both))
    exclude, positive = (own, None) if intra else (None, own)
    if intra and not (grades.sum(1) > 1).any():
        return None  # without labels nothing but the recording itself is relevant
    found = metrics.summarize(a @ b.T, grades, exclude=exclude, positive=positive)
    return found, metrics.chance(grades, exclude=exclude, positive=positive)


def table(
    trained: Mapping[str, Mapping[int, NDArray[np.float32]]],
    untrained: Mapping[str, Mapping[int, NDArray[np.float32]]],
    labels: Sequence[str],
) -> dict[str, dict[str, dict[str, float] | float]]:
    """``<from>_to_<to>`` -> figure -> {trained, untrained, chance}, and ``n``, the number of queries.

    Args:
        trained: modality -> recording -> unit vector [D]; ``untrained`` likewise, of the same recordings.
        labels: of all recordings, "" for none.
    """
    result: dict[str, dict[str, dict[str, float] | float]] = {}
    for source, target in directions(list(trained)):
        judged = direction(trained[source], trained[target], labels, intra=source == target)
        if judged is None:
            continue
        fresh = direction(untrained[source], untrained[target], labels, intra=source == target)
        assert fresh is not None, "both networks are shown the same recordings"
        figures: dict[str, dict[str, float] | float] = {
            name: {"trained": judged[0][name], "untrained": fresh[0][name], "chance": judged[1][name]}
            for name in FIGURES
        }
        result[f"{source}_to_{target}"] = {**figures, "n": judged[0]["n"]}
    return result
