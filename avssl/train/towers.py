"""Pretrained towers in a run: what is kept of them, and what frozen ones remember."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from avssl.config import RunConfig
from avssl.encoders import pretrained
from avssl.encoders.pretrained import keep, sources
from avssl.train.distributed import Ranks

__all__ = ["keep", "remember", "sources"]


def remember(cfg: RunConfig, encoders: nn.ModuleDict, ranks: Ranks, say: Callable[[str], None]) -> None:
    """Let frozen towers keep on disk what they saw, where items come in few draws; says what that does."""
    frozen = [name for name, tower in pretrained.towers(encoders).items() if not tower.moves]
    draws = cfg.data.draws
    if draws and not frozen:
        say(f"warning: data.draws={draws} shows each item in few draws, and no tower is frozen that would gain by it")
    elif draws and cfg.parallel == "fsdp" and ranks.world > 1:
        say("warning: sharded towers keep nothing of what they see, for all ranks must enter them or none")
    elif draws:
        pretrained.remember(encoders, round(cfg.data.features_gb * 1e9), ranks.world)
        say(f"each item is shown in {draws} draws: what the frozen towers ({', '.join(frozen)}) see is computed once")
    elif frozen:
        say(f"{', '.join(frozen)}: frozen towers see new windows at every step; data.draws=4 would compute few, once")
