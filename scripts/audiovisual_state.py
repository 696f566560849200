"""How well a run solves its own task, and whether its vectors have collapsed, beside its untrained self.

Used by scripts/audiovisual.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from avssl.cli._feedback import Feedback
from avssl.config import RunConfig
from avssl.train.build import Loaded


def of(cfg: RunConfig, folder: Path, networks: Mapping[str, Loaded]) -> dict[str, Any]:
    """How well the method's own task is solved on validation recordings, and whether vectors have collapsed."""
    found: dict[str, Any] = {"task": {}, "collapse": {}}
    for who, one in networks.items():
        asked = Feedback(cfg, folder)
        with torch.no_grad():
            told = asked.task(one.method)
            found["task"][who] = {name: value for name, value in told.items() if name != "score"}
            watched = asked.watch(one.method, one.step if who == "trained" else 0)
        found["collapse"][who] = {name.removeprefix("collapse/"): value for name, value in watched.items()}
    return found
