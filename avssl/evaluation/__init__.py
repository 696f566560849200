"""How good a run is on recordings it has not seen: finding across modalities, and locating where the truth is known.

Every figure stands beside the same figure of the same network with its weights as they were drawn, and beside chance
or the trivial predictors. All are fractions 0 to 1, except ``medr``, the median rank counted from 1.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avssl.data.manifest import Manifest, Recording
from avssl.evaluation import finding, locating, maps, scales, task
from avssl.evaluation.judged import peaks
from avssl.evaluation.middles import chosen_label, middles
from avssl.localize import calibration
from avssl.methods.base import localizes
from avssl.train.checkpoint import load_run

PARTS = 7
"""of the work: two networks are loaded, asked for vectors, their scales are kept, and each is asked for maps"""
UNSEEN = frozenset({"silent", "offscreen"})
"""values of a ``case`` label that say: nothing in the picture makes what is heard, so there is nothing to find"""


def in_sight(recordings: Iterable[Recording]) -> list[Recording]:
    """Those of which no ``case`` label says that what is heard is not to be seen."""
    return [one for one in recordings if one.labels.get("case") not in UNSEEN]


def evaluate(
    run: str | Path,
    manifest: Manifest,
    *,
    split: str = "test",
    truth: str | Path | None = None,
    label: str = "",
    threads: int | None = None,
    device: str | torch.device = "cpu",
    choose: bool = False,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """Judge a run on one split of a manifest.

    Each recording is shown by one window of the run's length at its middle, and by the phrase said nearest to that
    moment. Recordings whose ``case`` label says that what is heard is not to be seen are left out of finding.

    Args:
        run: its folder.
        manifest: the recordings.
        split: the one judged; the threshold of localization is chosen on ``val`` where the run has none.
        truth: ``truth.jsonl`` of a made-up world or of mosaics; with it localization is judged too, if the method
            localizes.
        label: what makes two recordings relevant to each other; "" takes ``kind`` if there is one, else the first
            label there is, else each recording is relevant to itself alone.
        threads: of torch; None leaves them.
        device: where the networks run.
        choose: choose the threshold anew and keep it in place of the run's.
        tell: called with how many of how many parts of the work are done.

    Returns:
        ``retrieval.<from>_to_<to>.{r1,r5,r10,medr,ndcg10}`` each {trained, untrained, chance};
        ``localization.{ciou,auc,pointing,iiou,two_things,ap,max_f1,swap_gap,silence_area,lit_sounding,miou,f_loc,...}``
        each {trained, untrained, center, average, whole, random, oracle, low, high} where they apply;
        ``task.<figure>`` each {trained, untrained, chance} for a method without a space of several modalities: how
        well its own task is solved; and what was judged. The threshold is kept in the run's folder, where overlays
        find it. Raises ValueError when there is
        nothing to judge.
    """
    if threads:
        torch.set_num_threads(threads)
    began, parts = time.perf_counter(), itertools.count()
    tell(next(parts), PARTS)
    loaded, fresh = load_run(run, trained=True), load_run(run, trained=False)
    for one in (loaded, fresh):
        one.method.to(device)
    recordings = manifest.split(split)
    visible = in_sight(recordings)
    if not visible:
        raise ValueError(
            f"no recording of the {split} split can be judged; {len(recordings)} of it are in the manifest"
        )
    tell(next(parts), PARTS)
    if label and not any(label in recording.labels for recording in visible):
        there = ", ".join(sorted({name for one in visible for name in one.labels})) or "no labels"
        raise ValueError(f"--label {label}: no recording of the {split} split has it; they have {there}")
    label = label or chosen_label(visible)
    labels = [recording.labels.get(label, "") for recording in visible]
    found = {}
    for who, one in (("trained", loaded), ("untrained", fresh)):
        found[who] = middles(one.method, one.inputs, manifest, visible)
        tell(next(parts), PARTS)
    result: dict[str, Any] = {
        "run": str(run),
        "method": loaded.cfg.method.name,
        "digest": loaded.digest,
        "manifest_digest": manifest.digest(),
        "step": loaded.step,
        "split": split,
        "label": label or None,
        "recordings": len(visible),
        "left_out": len(recordings) - len(visible),
        "retrieval": finding.table(found["trained"], found["untrained"], labels),
    }
    if not any(len(space.modalities) > 1 for space in loaded.method.spaces.values()):
        result["task"] = task.compared(
            loaded.cfg, {"trained": loaded.method, "untrained": fresh.method}, manifest, split
        )
    val = in_sight(manifest.split("val"))
    kinds = ("text",) if truth is not None else ("audio", "text")
    lacking = [kind for kind in kinds if choose or calibration.stored(Path(run), loaded.digest, kind) is None]
    scales.keep(Path(run), loaded.digest, loaded.method, loaded.inputs, manifest, val, lacking)
    tell(next(parts), PARTS)
    if truth is not None and localizes(loaded.method):
        known = maps.read_truth(Path(truth))
        columns, chosen, average = {}, {}, None
        clips = {part: maps.read(loaded.inputs, manifest, part, known, Path(truth).parent) for part in ("val", split)}
        for who, one in (("trained", loaded), ("untrained", fresh)):
            validation = maps.judged(one.method, one.inputs, clips["val"])
            chosen[who] = locating.threshold(validation)
            if who == "trained":
                average = locating.prior(validation)
                kept = None if choose else calibration.stored(Path(run), loaded.digest)
                if kept is None:
                    _keep(Path(run), peaks(validation), chosen[who], loaded.digest)
                else:
                    chosen[who] = kept.threshold
            columns[who] = maps.judged(one.method, one.inputs, clips[split])
            tell(next(parts), PARTS)
        result["localization"] = locating.table(columns["trained"], columns["untrained"], chosen, average)
        result["thresholds"] = chosen
    tell(PARTS, PARTS)
    result["seconds"] = round(time.perf_counter() - began, 1)
    return result


def _keep(run: Path, highest: list[float], threshold: float, digest: str) -> None:
    told = calibration.BEST.format("sounds")
    calibration.from_peaks(np.array(highest), threshold, digest, told).save(run)
