"""What is searched for, put together from several things: "a bell" and this sound, but not that picture.

The parts become one vector, the weighted sum of theirs. For inner products that is the same as searching for each part
and adding up the weighted scores of every moment, only that one search in any index does it, exactly, and no moment
is lost that comes second in both lists. Each part's weight is first divided by the spread of its scores with the
searched modality (see `retrieval.calibration`): so parts of equal weight have equal say, although a sound's scores with
sounds range far wider than a text's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrieval.calibration import Background
from retrieval.segment import Vectors, check_vectors

CANCELLED = 1e-6  # of the length of the parts: less than that is rounding


@dataclass(frozen=True)
class Term:
    """One thing to look for, or, with a weight below 0, to keep away from.

    vector: [width]. modality: what it was made from, "" if not known.
    """

    vector: Any
    weight: float = 1.0
    modality: str = ""

    def __post_init__(self) -> None:
        if not np.isfinite(self.weight) or self.weight == 0:
            raise ValueError(f"the weight of a term must be a number other than 0, got {self.weight!r}")


@dataclass(frozen=True)
class Query:
    """Terms that are searched for together. Raises ValueError without one that is to be found.

    centered: without what the store's vectors of each term's modality have in common (`Background.centered`).
    """

    terms: Sequence[Term]
    centered: bool = False

    def __post_init__(self) -> None:
        if not any(term.weight > 0 for term in self.terms):
            raise ValueError("a query needs something to look for, not only what to keep away from")

    @property
    def modality(self) -> str:
        """Of its only term, if that is as it was made; "" for a mixture and for what is centered."""
        return self.terms[0].modality if len(self.terms) == 1 and not self.centered else ""

    @property
    def needs_background(self) -> bool:
        """Whether its vector depends on what else the store holds."""
        return self.centered or len(self.terms) > 1

    def vector(self, width: int, background: Background | None, target: str = "") -> Vectors:
        """The vector to search modality `target` with ("": all of them), [width].

        That of a single term is as it was given, unless it is centered; that of several has length 1, so that its
        scores are cosines when the store's vectors have length 1 too. Raises ValueError for wrong vectors and for terms
        that cancel out, and as `Background.centered` does. background: None where `needs_background` is false.
        """
        vectors = np.concatenate([check_vectors(np.atleast_2d(t.vector), width, "query") for t in self.terms])
        if self.centered:
            assert background is not None
            parts = zip(vectors, self.terms, strict=True)
            vectors = np.concatenate([background.centered(vector[None], t.modality) for vector, t in parts])
        if len(vectors) == 1:
            alone: Vectors = vectors[0]
            return alone
        weights = np.array([term.weight for term in self.terms])
        if background is not None:
            sources = ["" if self.centered else term.modality for term in self.terms]
            each = zip(vectors, sources, strict=True)
            weights = weights / [background.scale(vector[None], source, target).spread[0] for vector, source in each]
        weighted = weights[:, None] * vectors.astype(np.float64)
        total = weighted.sum(axis=0)
        length = float(np.linalg.norm(total))
        if length <= CANCELLED * float(np.linalg.norm(weighted, axis=1).sum()):
            raise ValueError("the terms of the query cancel out: nothing is left to look for")
        unit: Vectors = (total / length).astype(np.float32)
        return unit
