"""One look at every training item: what clustering, mining and filling a bank begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn


@torch.no_grad()
def sweep(
    network: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    look: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """What ``look`` gives of every batch, joined; the network is in evaluation meanwhile.

    Args:
        network: what ``look`` calls; norms must neither take statistics of, nor keep what they saw in, such a pass.
        batches: of training items; each has ``index`` [B] and ``recording`` [B].
        look: batch -> named tensors [B, ...].

    Returns:
        ``index``, ``recording`` and what was looked at, [N', ...]; items that cannot be read are missing.
    """
    training = network.training
    network.eval()
    try:
        rows = [{"index": b["index"], "recording": b["recording"], **look(b)} for b in batches]
    finally:
        network.train(training)
    assert rows, "there are no items"
    return {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
