"""Contrastive losses as plain functions of similarities; each checked against its literal formula."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

ROWS = 1024
"""rows of a contrastive batch whose logits are in memory at once"""


class Temperature(nn.Module):
    """A learned inverse temperature, kept between 1 and ``most``."""

    def __init__(self, start: float = 0.07, most: float = 100.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([1.0 / start]).log())
        self.most = most

    def forward(self) -> Tensor:
        """The factor on similarities, shape [1]."""
        return self.log_scale.exp().clamp(1.0, self.most)


def info_nce(logits: Tensor, invalid: Tensor | None = None, extra: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE (van den Oord, Li, Vinyals, 2018; Radford et al., 2021) over a square of logits.

    Args:
        logits: [B, B], the diagonal are the pairs.
        invalid: bool [B, B], pairs that are no negatives (same recording, equal text); never the pair itself.
        extra: [B, X] logits of each row against X further negatives that are no row's pair (silence, noise).

    Returns:
        The mean of both directions' cross-entropies, a scalar.
    """
    target = torch.arange(len(logits), device=logits.device)
    if invalid is not None:
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(invalid & ~own, float("-inf"))
    across = logits if extra is None else torch.cat([logits, extra], 1)
    return 0.5 * (F.cross_entropy(across, target) + F.cross_entropy(logits.T, target))


def mil_nce(logits: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
    """MIL-NCE (Miech et al., 2020): a bag of positives against all candidates, positives once in the denominator.

    Args:
        logits: [B, C] scores of each row against all candidates.
        positive: bool [B, C], the bag.
        valid: bool [B, C], candidates that count at all (positives that are not valid are left out).

    Returns:
        The mean over rows with a positive of -log(sum_positives / sum_all); zero when no row has one. Its floor is 0.
    """
    positive = positive & valid
    rows = positive.any(1)
    lowest = torch.finfo(logits.dtype).min
    top = torch.logsumexp(logits.masked_fill(~positive, lowest), 1)
    all_ = torch.logsumexp(logits.masked_fill(~valid, lowest), 1)
    losses = torch.where(rows, all_ - top, torch.zeros_like(top))
    return losses.sum() / rows.sum().clamp_min(1)


def each_positive(near: Tensor, far: Tensor, valid: Tensor) -> Tensor:
    """InfoNCE of several positives, each alone against the negatives: no positive is another's negative.

    Args:
        near: [B, P] logits of the positives.
        far: [B, K] logits of the negatives, minus infinity for those that are none.
        valid: bool [B, P], positives that count.

    Returns:
        The mean over an item's positives, then over all items; an item without positives adds nothing.
    """
    logits = torch.cat([near[..., None], far[:, None].expand(-1, near.shape[1], -1)], 2)
    losses = torch.where(valid, logits.logsumexp(2) - near, 0.0)
    return (losses.sum(1) / valid.sum(1).clamp_min(1)).mean()


def nt_xent(
    first: Tensor, second: Tensor, temperature: float, recording: Tensor | None = None, rows: int = ROWS
) -> Tensor:
    """NT-Xent (Chen, Kornblith, Norouzi, Hinton, 2020): two views, 2B - 2 negatives, mean over 2B rows.

    Args:
        first, second: unit vectors [B, D] of the two views.
        temperature: divides the similarities.
        recording: [B] where given, other rows of the same recording are no negatives.
        rows: of the 2B x 2B logits that are in memory at once; those of the backward pass are computed again.
    """
    x = torch.cat([first, second])  # [2B, D]
    owner = None if recording is None else recording.repeat(2)
    if len(x) <= rows:
        return _nt_xent(x, owner, temperature, 0, len(x)) / len(x)
    sums = [
        checkpoint(_nt_xent, x, owner, temperature, start, start + rows, use_reentrant=False)
        for start in range(0, len(x), rows)
    ]
    return torch.stack(sums).sum() / len(x)


def _nt_xent(x: Tensor, owner: Tensor | None, temperature: float, start: int, end: int) -> Tensor:
    """The sum over rows [start, end) of x [2B, D]; owner [2B] tells the recordings."""
    own = torch.arange(len(x), device=x.device)[start:end, None]  # [R, 1]
    target = (own + len(x) // 2) % len(x)
    logits = (x[start:end] @ x.T / temperature).scatter(1, own, float("-inf"))  # [R, 2B]
    if owner is not None:
        same = (owner[start:end, None] == owner).scatter(1, target, False)
        logits = logits.masked_fill(same, float("-inf"))
    return F.cross_entropy(logits, target[:, 0], reduction="sum")


def retrieval_accuracy(logits: Tensor) -> Tensor:
    """Share of rows of [B, B] whose pair, on the diagonal, has the highest logit."""
    return (logits.argmax(1) == torch.arange(len(logits), device=logits.device)).float().mean()
