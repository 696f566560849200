"""One sound against the places of one picture: the losses on such maps that several localizers share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

NEVER = -1e4
"""a logit that no softmax notices, and that has a gradient where minus infinity has none"""


def place_scores(places: Tensor, sounds: Tensor) -> Tensor:
    """places [V, D, h, w], sounds [A, D] -> inner products [V, A, h w], in float32 under autocast too."""
    with torch.autocast(places.device.type, enabled=False):
        return torch.einsum("vdp,ad->vap", places.flatten(2).float(), sounds.float())


def best_place(places: Tensor, sounds: Tensor) -> Tensor:
    """The greatest of :func:`place_scores` over places: [V, D, h, w], [A, D] -> [V, A]."""
    return place_scores(places, sounds).amax(2)


def soft_region(scores: Tensor, threshold: float, softness: float, inside: bool = True) -> Tensor:
    """Mean score of the places above a threshold, softly (Chen et al., CVPR 2021): [..., P] -> [...].

    Each place weighs sigmoid((s - threshold) / softness), one minus that where not ``inside``. Weights are normalized
    in the logarithm, since far from the threshold all of them would round to zero.
    """
    sign = 1.0 if inside else -1.0
    weights = torch.softmax(F.logsigmoid(sign * (scores - threshold) / softness), -1)
    return (weights * scores).sum(-1)


def tri_map(scores: Tensor, same: Tensor, bounds: tuple[float, float], softness: float, temperature: float) -> Tensor:
    """The contrast of LVS (Chen et al., CVPR 2021): a picture's sounding region against its rest and other sounds.

    Args:
        scores: [B, B + X, P] cosines of places with sounds; column i is picture i's own, the last X are no picture's.
        same: bool [B, B], pairs of one recording, which are no negatives.
        bounds: what is above the first sounds, what is below the second does not; between them nothing is said.
        softness: of both bounds.
        temperature: divides the means.

    Returns:
        Logits [B, 1 + B + X + 1]: own region, other sounds' regions (:data:`NEVER` where ``same``), own background.
    """
    count = len(scores)
    each = soft_region(scores, bounds[0], softness) / temperature  # [B, B + X]
    own = scores[torch.arange(count), torch.arange(count)]  # [B, P]
    hidden = F.pad(same | torch.eye(count, dtype=torch.bool, device=same.device), (0, scores.shape[1] - count))
    hard = soft_region(own, bounds[1], softness, inside=False) / temperature
    return torch.cat([each.diagonal()[:, None], each.masked_fill(hidden, NEVER), hard[:, None]], 1)


def adjacency_gap(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference of two tables of likeness, rows made shares (Sun et al., CVPR 2023); logits [B, B]."""
    return F.l1_loss(first.softmax(1), second.softmax(1))


def foreground(places: Tensor, own: Tensor, share: float) -> Tensor:
    """The mean over all places, where only those well up a map's range count and the others are zeros.

    Args:
        places: [B, D, P].
        own: [B, P], the map; no gradient goes through it.
        share: of the way from the map's lowest to its highest score, 0..1.

    Returns:
        [B, D].
    """
    low, high = own.amin(1, keepdim=True), own.amax(1, keepdim=True)
    lit = (own - low) / (high - low + 1e-5) > share
    return (places * lit[:, None]).mean(2)


def dropped(x: Tensor, seeds: Tensor, probability: float) -> Tensor:
    """Dropout whose mask is a function of each row's own seed, so that ranks and resumed runs draw the same.

    Args:
        x: [B, ...].
        seeds: int64 [B].
        probability: of a number to become 0; the others grow so that the mean stays.
    """
    drawn = [torch.rand(x.shape[1:], generator=Generator().manual_seed(seed)) for seed in seeds.tolist()]
    kept = (torch.stack(drawn) >= probability).to(x.device)
    return x * kept / (1 - probability)


def warped(x: Tensor, affine: Tensor) -> Tensor:
    """Each picture or map turned and scaled; outside of it is zero.

    Args:
        x: [B, C, h, w].
        affine: [B, 2, 3], where each place of the result comes from, in -1..1 (the form of ``affine_grid``).
    """
    with torch.autocast(x.device.type, enabled=False):
        grid = F.affine_grid(affine.float(), list(x.shape), align_corners=False)
        return F.grid_sample(x.float(), grid, align_corners=False)
