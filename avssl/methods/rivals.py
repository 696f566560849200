"""Who of a batch a pair is told apart from, and who is let off: what contrasts over a batch have in common.

Negatives that are no negatives: Sun et al., CVPR 2023 (arXiv:2303.11302), whose tables of likeness are drawn towards
each other; Morgado, Vasconcelos, Misra, CVPR 2021 (arXiv:2004.12943), whose positives both modalities agree on. Hard
negatives of the same recording: Korbar, Tran, Torresani, NeurIPS 2018 (arXiv:1807.00230). Remembered negatives: He et
al., CVPR 2020 (arXiv:1911.05722).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from avssl.config import Frozen
from avssl.methods.base import Batch
from avssl.nn.agreement import NONE, agreed
from avssl.nn.bank import UNSEEN
from avssl.nn.contrast import each_positive, info_nce
from avssl.nn.gather import gather
from avssl.nn.sounding import adjacency_gap


class RivalsConfig(Frozen):
    """Options of a contrast over a batch; as they are, all of other recordings are negatives and no others."""

    gap_seconds: float = Field(0.0, ge=0)
    """windows of one recording that begin at least so far apart are negatives of each other, also where they overlap,
    which they do below a window's length; 0: they never are.
    data.together puts several windows of a recording into a batch"""
    alike: float = Field(0.0, ge=0)
    """weight (50 in FNAC): pairs are as likely across modalities as they are alike within each"""
    mined: int = Field(0, ge=0)
    """others that are positives too: those that are most alike by the lesser of both modalities' likeness"""
    bank: int = Field(0, ge=0)
    """K, pairs remembered from the last steps, which are negatives too"""


class Found(NamedTuple):
    """What a batch of pairs holds, after :meth:`Rivals.find`."""

    apart: Tensor
    """bool [B, B], pairs that are no negatives of each other"""
    positives: Tensor
    """int64 [B, P], rows that are positives beside the own one, `NONE` where there are fewer"""
    recording: Tensor
    """[B]"""


class Rivals(nn.Module):
    """The options at work; holds the remembered pairs as buffers.

    Args:
        cfg: the options.
        width: D, of the vectors.
    """

    first: Tensor
    second: Tensor
    recording: Tensor

    def __init__(self, cfg: RivalsConfig, width: int):
        super().__init__()
        self.cfg = cfg
        kept = cfg.bank > 0  # checkpoints of runs without a bank hold nothing of it
        self.register_buffer("first", torch.zeros(cfg.bank, width), persistent=kept)
        self.register_buffer("second", torch.zeros(cfg.bank, width), persistent=kept)
        self.register_buffer("recording", torch.full((cfg.bank,), UNSEEN), persistent=kept)

    def pairs(self, first: Tensor, second: Tensor, scale: Tensor | float, batch: Batch) -> tuple[Tensor, Tensor]:
        """The contrast of two vectors of each item, with all options; the loss, and the logits [B, B].

        Args:
            first, second: unit vectors [B, D] of both modalities, gathered.
            scale: the inverse temperature.
            batch: of this rank.
        """
        logits, found = first @ second.T * scale, self.find(first, second, batch)
        return self.contrast(logits, found, vectors=(first, second, scale)), logits

    @torch.no_grad()
    def find(self, first: Tensor, second: Tensor, batch: Batch, rows: Tensor | None = None) -> Found:
        """Who is who's negative, and who is a positive.

        Args:
            first, second: unit vectors [B, D] of both modalities, gathered.
            batch: of this rank, with ``recording`` and, where gaps count, ``seconds``.
            rows: bool [N], those of the whole batch that the vectors are of; None for all.
        """
        these = slice(None) if rows is None else rows
        recording = gather(batch["recording"])[these]
        apart = recording[:, None] == recording
        if self.cfg.gap_seconds:
            begins = gather(batch["seconds"])[these]
            apart &= (begins[:, None] - begins).abs() < self.cfg.gap_seconds
        return Found(apart, agreed(first, second, recording, self.cfg.mined), recording)

    def contrast(
        self, logits: Tensor, found: Found, extra: Tensor | None = None,
        vectors: tuple[Tensor, Tensor, Tensor | float] | None = None,
    ) -> Tensor:  # fmt: skip
        """Symmetric InfoNCE in which every positive stands alone against the negatives.

        Args:
            logits: [B, B], the diagonal are the pairs.
            found: what :meth:`find` gave.
            extra: logits [B, X] of the rows against negatives of no recording.
            vectors: both modalities' [B, D] and the scale, where the logits are their scaled inner products: then the
                bank and the likeness count too.
        """
        more: list[Tensor | None] = [extra, None]
        if vectors is not None and self.cfg.bank:
            rows, columns = self._remembered(*vectors, found.recording)
            more = [rows if extra is None else torch.cat([extra, rows], 1), columns]
        if not self.cfg.mined and more[1] is None:
            loss = info_nce(logits, found.apart, extra)
        else:
            own = torch.arange(len(logits), device=logits.device)[:, None]
            near = torch.cat([own, found.positives], 1)  # [B, 1 + P]
            valid, near = near != NONE, near.clamp_min(0)
            hidden = found.apart | (nn.functional.one_hot(near, len(logits)).bool() & valid[..., None]).any(1)
            losses = []
            for table, beside in zip((logits, logits.T), more, strict=True):
                far = table.masked_fill(hidden, float("-inf"))
                far = far if beside is None else torch.cat([far, beside], 1)
                losses.append(each_positive(table.gather(1, near), far, valid))
            loss = torch.stack(losses).mean()
        if vectors is None or not self.cfg.alike:
            return loss
        within = (x @ x.T * vectors[2] for x in vectors[:2])
        gaps = [adjacency_gap(one, table) for one, table in zip(within, (logits, logits.T), strict=True)]
        return loss + self.cfg.alike * torch.stack(gaps).mean()

    def _remembered(
        self, first: Tensor, second: Tensor, scale: Tensor | float, recording: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, K] of both sides against remembered pairs, minus infinity for those of the own recording.

        In training, these pairs then take the place of the oldest.
        """
        hidden = (self.recording == recording[:, None]) | (self.recording == UNSEEN)
        rows = (first @ self.second.T * scale).masked_fill(hidden, float("-inf"))
        columns = (second @ self.first.T * scale).masked_fill(hidden, float("-inf"))
        if self.training:  # new tensors, for the old ones are needed to go back
            for name, x in (("first", first), ("second", second), ("recording", recording)):
                held: Tensor = getattr(self, name)
                setattr(self, name, torch.cat([x.detach().to(held.dtype), held])[: len(held)])
        return rows, columns
