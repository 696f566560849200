"""Figures over the rows of results/compare.jsonl: means over seeds, gains over random, what goes with what."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from seeds import Row, by_label, spread
from seeds import gained as over_seeds

WORSE = {"blur": "blur", "noise": "noise", "contrast": "contrast"}
UNTOLD = {
    "nce": "its bank knows the training pictures alone",
    "moco": "its untrained queue is random, so that the untrained network tells everything apart from it",
    "byol": "its loss is least where all vectors are alike",
    "gan": "it is a game, whose loss depends on the critic",
    "bigan": "it is a game, whose loss depends on the critic",
    "colorization": "rare colours weigh more in its loss once they are counted, and the untrained network has not",
    "split_brain": "nobody knows how far its loss can fall, for one half does not tell the other wholly",
}
"""method -> why its held-out pretext does not tell how well it is solved"""
SHARES = ("accuracy", "explained", "told")
"""figures of a pretext that are 1 where it is solved"""
TO_NOTHING = ("siamese",)
"""methods whose loss is 0 where the pretext is solved; of others nobody knows how far theirs can fall"""
NEARLY = 0.01
"""share of a pretext that the untrained network must leave to be solved"""
LEAST = 4
"""methods of which a rank correlation is told at least"""


def by_name(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Label -> its seeds, as :func:`order` has them."""
    return dict(sorted(by_label(rows).items(), key=lambda pair: order(pair[1])))


def order(seeds: Sequence[Row]) -> tuple[int, float]:
    """Floors first, what is given labels last, between them the worst best stage first."""
    place = {"random": 0, "rescaled": 1}.get(seeds[0]["name"], 3 if seeds[0]["labels"] else 2)
    return place, mean(seeds, "best") or 0.0


def mean(seeds: Sequence[Row], question: str, who: str = "trained") -> float | None:
    """Mean of a figure over seeds; None where it was not asked."""
    values = [row["figures"][question][who] for row in seeds if question in row["figures"]]
    return statistics.fmean(values) if values else None


def percent(seeds: Sequence[Row], question: str, who: str = "trained") -> str:
    """Mean and standard deviation of a figure over seeds, in percent."""
    return spread([row["figures"][question][who] for row in seeds if question in row["figures"]])


def stages_of(rows: Sequence[Row]) -> list[str]:
    """Names of the stages, the finest first."""
    return sorted({name for row in rows for name in row["figures"] if name.startswith("stage")})


def gained(seeds: Sequence[Row], question: str = "best") -> tuple[float, float, float]:
    """Mean gain over the untrained network, and its 95 % interval by other test pictures and other training
    (:func:`seeds.gained`)."""
    return over_seeds([row["figures"][question]["gain"] for row in seeds])


def beats(seeds: Sequence[Row], question: str = "best") -> str:
    """Whether a figure is ahead of the untrained network's by more than its interval (:func:`gained`).

    ``best`` is the stage that validation pictures prefer, for each of both.
    """
    if not seeds[0]["learns"]:
        return ""
    value, low, _ = gained(seeds, question)
    return "yes" if low > 0 else "no" if value <= 0 else "within noise"


def gain(seeds: Sequence[Row], question: str = "best") -> str:
    """:func:`gained` in percent."""
    if not seeds[0]["learns"]:
        return ""
    value, low, high = (100 * one for one in gained(seeds, question))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def solved(row: Row) -> float | None:
    """How well held-out pretext is solved, 0 as the untrained network, 1 wholly; None where no figure tells it, or the
    untrained network leaves nothing to be solved.

    Shares that are right or explained, from what the untrained network has; else how much of its squared error, or of
    a loss that can fall to 0, is gone.
    """
    method = row["name"].partition("-")[0]
    if method in UNTOLD:
        return None
    told, before = row["pretext"].get("trained", {}), row["pretext"].get("untrained", {})
    for name in SHARES:
        if name in told:
            left = 1 - before[name]
            return float((told[name] - before[name]) / left) if left > NEARLY else None
    if "psnr" in told:
        return float(1 - 10 ** ((before["psnr"] - told["psnr"]) / 10))
    if method in TO_NOTHING and told and before["loss"] > 0:
        return float(1 - told["loss"] / before["loss"])
    return None


def solved_of(seeds: Sequence[Row]) -> list[float]:
    """:func:`solved` of the seeds that tell it."""
    return [value for value in map(solved, seeds) if value is not None]


def common(rows: Sequence[Row]) -> list[Row]:
    """Rows of the budget that most have, and what learns nothing: what longer runs do is no one's lead over others."""
    counts = Counter(map(budget, (row for row in rows if row["learns"])))
    most = max(counts, key=lambda held: counts[held]) if counts else None
    return [row for row in rows if not row["learns"] or budget(row) == most]


def budget(row: Row) -> tuple[str, float]:
    """What a run was given: minutes, or steps where nobody asked for minutes."""
    minutes = row.get("minutes")
    return ("steps", row["steps"]) if minutes is None else ("minutes", minutes)


def longer(rows: Sequence[Row], seeds: Sequence[Row]) -> dict[int, list[Row]]:
    """Steps -> rows of the same name that learnt for longer."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row["name"] == seeds[0]["name"] and row["steps"] > seeds[0]["steps"]:
            found.setdefault(row["steps"], []).append(row)
    return dict(sorted(found.items()))


def learners(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Label -> seeds of what learns without labels."""
    return {label: seeds for label, seeds in by_name(rows).items() if seeds[0]["learns"] and not seeds[0]["labels"]}


def rank(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation, ties sharing their ranks; None of too few pairs, or where all are alike."""
    if len(pairs) < LEAST or any(len(set(axis)) == 1 for axis in zip(*pairs, strict=True)):
        return None
    x = np.array(pairs)  # [N, 2]
    ranks = (x[:, None] > x).sum(1) + ((x[:, None] == x).sum(1) - 1) / 2
    return float(np.corrcoef(ranks.T)[0, 1])


def rank_interval(found: float, count: int) -> tuple[float, float]:
    """95 % interval of a rank correlation over ``count`` pairs, by Fisher's transform with Bonett and Wright's variance
    (Psychometrika 65, 2000)."""
    if count < LEAST or abs(found) >= 1:
        return found, found
    half = 1.96 * math.sqrt((1 + found**2 / 2) / (count - 3))
    return math.tanh(math.atanh(found) - half), math.tanh(math.atanh(found) + half)


def pretext_pairs(held: Mapping[str, Sequence[Row]]) -> dict[str, tuple[float, float]]:
    """Label -> (pretext solved, linear probe of the best stage)."""
    pairs = {}
    for label, seeds in held.items():
        values, best = solved_of(seeds), mean(seeds, "best")
        if values and best is not None:
            pairs[label] = (statistics.fmean(values), best)
    return pairs


def robust_pairs(held: Mapping[str, Sequence[Row]]) -> dict[str, tuple[float, float]]:
    """Label -> (linear probe on clean pictures, share of what it is above chance that is left under corruptions)."""
    pairs = {}
    for label, seeds in held.items():
        clean, worse = mean(seeds, "linear"), [mean(seeds, name) for name in WORSE]
        chance = 1 / seeds[0]["sets"]["cifar"]["classes"]
        if clean and clean > chance and all(value is not None for value in worse):
            left = statistics.fmean(value for value in worse if value is not None)
            pairs[label] = (clean, (left - chance) / (clean - chance))
    return pairs


def path(row: Row) -> list[tuple[float, float]]:
    """(pretext solved, linear probe) at the quarters of one run; [] where the pretext tells nothing."""
    last = {"pretext": row["pretext"].get("trained", {}), "linear": row["figures"]["linear"]["trained"]}
    points = []
    for point in [*row["course"], last]:
        told = solved({**row, "pretext": {**row["pretext"], "trained": point["pretext"]}})
        if told is not None:
            points.append((told, float(point["linear"])))
    return points


def course(row: Row) -> float | None:
    """Rank correlation of pretext and linear probe along one run; None where there is none."""
    return rank(path(row))


def wins(seeds: Sequence[Row], labels: Sequence[Row], names: Sequence[str]) -> tuple[int, int]:
    """In how many figures a method is ahead of one that was given labels, and in how many surely: in all seeds of both,
    with intervals apart."""
    ahead = [name for name in names if (mean(seeds, name) or 0) > (mean(labels, name) or 0)]
    lowest = {name: min(row["figures"][name]["interval"][0] for row in seeds) for name in ahead}
    highest = {name: max(row["figures"][name]["interval"][1] for row in labels) for name in ahead}
    return len(ahead), sum(lowest[name] > highest[name] for name in ahead)
