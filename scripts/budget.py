"""How many steps of a run fit into a time: a short trial is timed, and forgotten; what was found is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avssl.config import RunConfig
from avssl.train import run
from avssl.train.checkpoint import replace_text

TRIAL_STEPS, STALLED = 16, 0.3
"""steps that are timed, and the share of time spent waiting for data from which they are timed again, then cached"""
LEAST_STEPS = 20


class Trial(NamedTuple):
    """Where plans are kept (``steps.json`` in a folder), and by which name this one is."""

    folder: Path
    name: str


def steps(minutes: float, cfg: RunConfig, trial: Trial) -> int:
    """Steps that fit into ``minutes``; timed once for all runs of this name."""
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
