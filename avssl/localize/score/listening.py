"""Does it listen: the sounding thing against the silent one, and the own sound against another item's."""

from typing import Any

from numpy.typing import ArrayLike

from avssl.localize.masks import as_scores
from avssl.localize.score.overlap import items_of, success_at, truth_of


def two_things(scores: ArrayLike | Any, sounding_box_mask: ArrayLike | Any, silent_box_mask: ArrayLike | Any) -> float:
    """1 if the map [H, W] peaks higher inside the sounding thing's box than inside the silent one's, 0 if lower.

    A tie is 0.5, so that a constant map is at chance; where the boxes overlap a peak in both is such a tie.
    """
    values = as_scores(scores)
    peaks = []
    for name, mask in (("sounding", sounding_box_mask), ("silent", silent_box_mask)):
        inside = values[truth_of(mask, values.shape) > 0.0]
        if inside.size == 0:
            raise ValueError(f"the {name} thing's box covers no pixel of a map of shape {values.shape}")
        peaks.append(float(inside.max()))
    return 0.5 if peaks[0] == peaks[1] else float(peaks[0] > peaks[1])


def swap_gap(ciou_true: ArrayLike | Any, ciou_swapped: ArrayLike | Any, threshold: float = 0.5) -> float:
    """Success rate with each item's own sound minus that with another item's sound, both against the same truth [N].

    0 for whatever does not listen, however well it finds things that usually sound.
    """
    own, other = items_of(ciou_true, "cIoU with the true sound"), items_of(ciou_swapped, "cIoU with a swapped sound")
    if own.shape != other.shape:
        raise ValueError(f"{len(own)} items with their own sound but {len(other)} with a swapped one")
    return success_at(own, threshold) - success_at(other, threshold)
