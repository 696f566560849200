"""How many steps of a run fit into a time: as many as rows of other seeds have, which may come from another machine;
else a short trial is timed, and forgotten, and what was found is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avssl.config import RunConfig
from avssl.train import run
from avssl.train.checkpoint import replace_text

TRIAL_STEPS, STALLED = 16, 0.3
"""steps that are timed, and the share of time spent waiting for data from which they are timed again, then cached"""
LEAST_STEPS = 20


class Trial(NamedTuple):
    """Where plans are kept (``steps.json`` in a folder), by which name this one is, and what rows of it have alike."""

    folder: Path
    name: str
    alike: dict[str, Any]


def steps(minutes: float, cfg: RunConfig, trial: Trial, rows: Sequence[dict[str, Any]] = ()) -> int:
    """Steps that fit into ``minutes``; found once for all runs of this name."""
    alike = {**trial.alike, "minutes": minutes}
    for row in rows:
        if all(row.get(key) == value for key, value in alike.items()):
            return int(row["steps"])
    kept = trial.folder / "steps.json"
    plan = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    key = f"{trial.name} {minutes:g} minutes"
    if key not in plan:
        plan[key] = max(LEAST_STEPS, round(minutes * 60 / seconds(cfg, trial.folder / "trial")))
        replace_text(kept, json.dumps(plan, indent=1) + "\n")
    return int(plan[key])


def seconds(cfg: RunConfig, folder: Path) -> float:
    """Seconds of a step: the median of a trial in ``folder``, which is timed again where decoding held it up."""
    short = cfg.model_copy(update={"steps": TRIAL_STEPS, "log_every": 1})
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        done = run.start(short, folder)
        if done.how == "interrupted":
            raise SystemExit(128 + done.signal)
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        told = [line for line in lines if "wait" in line]
        if float(np.median([line["wait"] for line in told])) < STALLED:
            break
    shutil.rmtree(folder)
    return float(np.median(np.diff([line["time"] for line in told])[4:]))
