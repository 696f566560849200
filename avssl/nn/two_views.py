"""When a sentence is about a clip: steps of time that a span covers, and where two views of a network agree on one."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from avssl.nn.contrast import mil_nce
from avssl.nn.narration import equal_texts


def covered(times: Tensor, steps: int, seconds: float) -> Tensor:
    """times [B, K, 2], beginning and end in seconds -> bool [B, K, T]: equal steps of ``seconds`` that
    a span overlaps; none where it lies outside."""
    edges = torch.linspace(0, seconds, steps + 1, device=times.device)
    return (times[..., :1] < edges[1:]) & (times[..., 1:] > edges[:-1])


class Agreed(NamedTuple):
    """Where two views place sentences."""

    steps: Tensor
    """bool [B, K, T], the span between both views' places, as long as the sentence"""
    sure: Tensor
    """bool [B, K], both views are confident and their spans overlap by half"""
    lost: Tensor
    """bool [B, K], neither view is confident"""


@torch.no_grad()
def agreed(first: Tensor, second: Tensor, lengths: Tensor, real: Tensor, share: float, least: float) -> Agreed:
    """Two views' spans of each sentence, around the step that each likes best.

    Args:
        first, second: scores [B, K, T] of two views.
        lengths: [B, K], of the sentences, in steps; at least one counts.
        real: bool [B, K], sentences to judge.
        share: of the sentences of the batch, by best score, that a view is confident of.
        least: intersection over union that is agreement.
    """
    places, confident = [], []
    for scores in (first, second):
        best, place = scores.float().max(2)
        places.append(place)
        known = best[real]
        cut = known.sort().values[math.floor((1 - share) * len(known))] if len(known) else best.new_zeros(())
        confident.append(best >= cut)
    lengths = lengths.clamp(1, first.shape[2])
    apart = (places[0] - places[1]).abs()
    overlap = (lengths - apart).clamp_min(0) / (lengths + apart)
    sure = confident[0] & confident[1] & (overlap >= least) & real
    middle = (places[0] + places[1]) / 2
    steps = torch.arange(first.shape[2], device=first.device)
    span = (steps - middle[..., None]).abs() <= (lengths[..., None] / 2).clamp_min(0.5)
    return Agreed(span, sure, ~confident[0] & ~confident[1] & real)


def step_contrast(
    dual: Tensor, joint: Tensor, target: Tensor, tokens: Tensor, recording: Tensor
) -> tuple[Tensor, Tensor]:
    """MIL-NCE of sentences against steps of time: of the dual view both ways over the batch, of the joint one inside
    each item.

    No negatives: steps of other items of the recording or of items that say the same, and steps at which the own item
    says the same again. A sentence without a target does not count.

    Args:
        dual: logits [B, K, B, T], of sentences of the first items with steps of the second.
        joint: logits [B, K, T] inside each item.
        target: bool [B, K, T], the steps that each sentence is about.
        tokens: int64 [B, K, L], padded with -1.
        recording: int64 [B].
    """
    said = (tokens >= 0).any(2)  # [B, K]
    same = (tokens[:, :, None] == tokens[:, None]).all(3).float()  # [B, K, K] equal sentences of one item
    again = torch.einsum("bkj,bjt->bkt", same, target.float()) > 0
    valid = (target | ~again) & said[..., None]  # [B, K, T]
    own = torch.eye(len(tokens), dtype=torch.bool, device=dual.device)[:, None, :, None]  # [B, 1, B, 1]
    other = (recording[:, None] != recording)[:, None] & ~equal_texts(tokens).permute(1, 2, 0)  # [B, K, B]
    some = torch.where(own, valid[:, :, None], (other & said[..., None])[..., None])  # [B, K, B, T]
    goal = own & target[:, :, None]
    scores, goal, some = (part.flatten(2).flatten(0, 1) for part in (dual, goal, some.expand_as(dual)))
    apart = 0.5 * (mil_nce(scores, goal, some) + mil_nce(scores.T, goal.T, some.T))
    return apart, mil_nce(joint.flatten(0, 1), target.flatten(0, 1), valid.flatten(0, 1))


def seconds_code(steps: int, seconds: float, width: int, device: torch.device) -> Tensor:
    """Sines and cosines [T, width] of the middles of equal steps of ``seconds``, with periods of 2 s to minutes."""
    middles = (torch.arange(steps, device=device) + 0.5) * (seconds / steps)
    rates = torch.exp(torch.arange(width // 2, device=device) * (-math.log(256.0) / max(1, width // 2 - 1)))
    angles = middles[:, None] * rates * math.pi
    return torch.cat([angles.sin(), angles.cos()], 1)
