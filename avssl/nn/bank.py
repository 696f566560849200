"""A bank: one remembered vector for every training item, kept as buffers so that a checkpoint holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from avssl import ops
from avssl.nn.sweep import sweep

UNSEEN = -1
"""recording of a row that no batch has filled yet"""


class Bank(nn.Module):
    """N unit vectors, moved towards new ones with a momentum (Wu, Xiong, Yu, Lin, 2018).

    Rows begin as random unit vectors, as in the literature; ``vectors`` [N, D] and ``recording`` int64 [N] are buffers.
    Networks without BatchNorm take all items for nearly the same at first, so that whoever has been seen looks like
    everybody, and more so than the item's own random row: what is learnt then is to make all vectors the same.
    :func:`fill_all` spares them that.

    Args:
        length: N, the number of items.
        width: D.
        momentum: share of the old vector that stays.
    """

    vectors: Tensor
    recording: Tensor

    def __init__(self, length: int, width: int, momentum: float = 0.5):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("vectors", ops.unit(torch.randn(length, width)))
        self.register_buffer("recording", torch.full((length,), UNSEEN))

    @torch.no_grad()
    def update(self, index: Tensor, recording: Tensor, vectors: Tensor) -> None:
        """Moves the rows ``index`` [B] towards ``vectors`` [B, D]; an item that is there twice counts with its mean."""
        rows, place = index.unique(return_inverse=True)
        new = torch.zeros(len(rows), vectors.shape[1], device=vectors.device).index_add_(0, place, vectors.float())
        old = self.vectors[rows]
        self.vectors[rows] = ops.unit(self.momentum * old + (1 - self.momentum) * ops.unit(new))
        self.recording[index] = recording

    @torch.no_grad()
    def fill(self, index: Tensor, recording: Tensor, vectors: Tensor) -> None:
        """Puts unit vectors [B, D] in the rows ``index`` [B] as they are, forgetting what was there."""
        self.vectors[index] = vectors.float()
        self.recording[index] = recording

    def negatives(self, draw: Tensor, index: Tensor, recording: Tensor) -> tuple[Tensor, Tensor]:
        """Rows for draws that know nothing of N.

        Args:
            draw: int64 [B, K], large random numbers.
            index: [B] the items that ask.
            recording: [B] their recordings.

        Returns:
            rows int64 [B, K] and valid bool [B, K], false for the item itself and for items of its recording.
        """
        rows = draw % len(self.vectors)
        valid = (rows != index[:, None]) & (self.recording[rows] != recording[:, None])
        return rows, valid

    def against(self, x: Tensor, draw: Tensor, index: Tensor, recording: Tensor, mined: Tensor | None = None) -> Tensor:
        """Cosines of x [B, D] with drawn rows, [B, K]; minus infinity for those that are no negatives.

        Args:
            x: unit vectors of the items that ask.
            draw, index, recording: as :meth:`negatives` takes them.
            mined: int64 [B, P] rows that are positives of the item, and so no negatives either.
        """
        rows, valid = self.negatives(draw, index, recording)
        if mined is not None:
            valid = valid & (rows[..., None] != mined[:, None]).all(2)
        return torch.einsum("bd,bkd->bk", x, self.vectors[rows]).masked_fill(~valid, float("-inf"))


def fill_all(
    network: nn.Module,
    banks: Mapping[str, Bank],
    examples: Iterable[Mapping[str, Tensor]],
    look: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
) -> None:
    """Banks that know nothing yet begin with what the network makes of the items; others stay as they are.

    Args:
        network: what ``look`` calls; in evaluation meanwhile.
        banks: by the names that ``look`` gives.
        examples: batches of training items, with ``index`` [B] and ``recording`` [B]; not touched where a bank knows
            something.
        look: batch -> name -> unit vectors [B, D].
    """
    if all((bank.recording == UNSEEN).all() for bank in banks.values()):
        seen = sweep(network, examples, look)
        for name, bank in banks.items():
            bank.fill(seen["index"], seen["recording"], seen[name])
