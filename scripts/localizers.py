"""Which localizer listens? All of them with the same trunk, inputs and budget, on the same test beds.

    python scripts/localizers.py [-o runs/localizers] [--only dense_av lvs] [--seeds 0 1 2] [--learn medium]
                                 [--steps 300 | --minutes-per-run 5] [--on world grid] [--data DATA] [--harder]
                                 [--set key=value ...] [--judge RUN ...]

Training is on a made-up world (--on world: all methods; 600 steps of single pictures, or 300 of whole clips, which take
longer) of one level, since background and noise tell levels apart without a look at what sounds; then, where GRID is
there, on its one talker (--on grid: the flagship with its own inputs, 1650 steps). Judged, trained and untrained, are
held-out clips of each level and mosaics of real recordings: pairs of GRID talkers, a GRID talker pasted into a larger
moving picture, 2 x 2 CIFAR-10 pictures with an ESC-10 sound (see scripts/mosaic.py). --harder adds beds on which more
sounds or shows than was learnt from: a crowded world, three and four talkers. A checkpoint has one threshold, chosen on
validation clips of what it was trained on (for GRID: pairs of talkers), which lights 90 % of those that sound at least;
it is used on every bed. Beside: a disc in the middle, the average box, the whole picture, random maps, and the most
that the rule allows. Runs of GRID that scripts/grid.py has trained already: --on grid --judge runs/grid/run, which
trains nothing.

An interrupted comparison goes on, and what is done is not done again. Each method, variant and seed adds a row to
results/localizers.jsonl; python scripts/results.py makes the tables.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import beds
import budget
import kept
import numpy as np
from beds import Bed
from localizer_tables import show
from localizer_variants import SAME, VARIANTS
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from avssl import config
from avssl.data.manifest import Manifest
from avssl.evaluation import locating, maps
from avssl.evaluation.judged import Floats, Judged, peaks
from avssl.inputs import Inputs
from avssl.localize import calibration
from avssl.methods import base
from avssl.train import run
from avssl.train.build import Loaded
from avssl.train.checkpoint import load_run

ROOT = Path(__file__).resolve().parent.parent
ENLARGED = (1.0, 2.0, 3.0)
"""sizes in which pictures of a talker pasted into a larger one are looked at, too; chosen on validation mosaics"""


@dataclass
class Workplace:
    """What all runs share: beds, what was read of them at which size, and the trivial predictors' figures there."""

    out: Path
    judged_on: list[Bed]
    chosen_on: list[Bed]
    held: dict[Any, maps.Clips] = field(default_factory=dict)
    averages: dict[str, Floats] = field(default_factory=dict)
    trivial: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Bed -> what it holds, in short."""
        return {bed.name: Manifest.load(bed.manifest).digest()[:16] for bed in self.judged_on}

    def read(self, bed: Bed, inputs: Inputs, split: str) -> maps.Clips:
        """Clips of a bed, decoded once for all runs of these inputs."""
        key = bed.name, split, inputs.cfg.model_dump_json(exclude={"vocabulary", "tokens", "narration"})
        if key not in self.held:
            self.held[key] = bed.read(inputs, split)
        return self.held[key]

    def average(self, bed: Bed, inputs: Inputs) -> Floats:
        """The average box of the bed's validation clips; their truth is enough."""
        if bed.name not in self.averages:
            known = self.read(bed, inputs, "val")
            nothing = np.zeros((1, 1, 1))
            self.averages[bed.name] = locating.prior([Judged("", things, nothing) for things in known.things])
        return self.averages[bed.name]


def workplace(args: argparse.Namespace, on: str) -> tuple[Workplace, Path]:
    """Make what is missing of the beds; they, and the manifest that is learnt from."""
    out: Path = args.output
    worlds: Path = args.worlds or out / "worlds"
    levels = dict.fromkeys([*args.levels, *args.learn, *([beds.HARDER] if args.harder else [])])
    made = {level: beds.world(worlds, level, args.clips, args.side) for level in levels}
    real = []
    for bed in [*args.mosaics, *(("three", "four") if args.harder and on == "grid" else ())]:
        if why := beds.missing(bed, args.data):
            Console(stderr=True).print(f"no bed {bed}: {why}", highlight=False)
            continue
        larger = worlds / args.levels[-1] / "videos" / "test"
        real.append(beds.of_mosaics(out, bed, args.data, larger, args.mosaic_count))
    if on == "world":
        judged_on = [bed for level, bed in made.items() if level in args.levels or level == beds.HARDER]
        learnt = [made[level] for level in args.learn]
        return Workplace(out, [*judged_on, *real], learnt), beds.joined(learnt, out / f"{'-'.join(args.learn)}.jsonl")
    # The talker was seen in one size; what is pasted is as large where pictures are looked at in several.
    real += [replace(bed, name=f"{bed.name}, enlarged", sizes=ENLARGED) for bed in real if bed.name == "pasted"]
    return Workplace(out, real, [bed for bed in real if bed.name == "talkers"]), beds.of_talker(out, args.data)


def _trained(done: run.Run) -> None:
    if done.how == "interrupted":
        raise SystemExit(128 + done.signal)


def planned(args: argparse.Namespace, name: str, words: list[str], on: str) -> int:
    """The steps of a variant, the same for every seed."""
    if not args.minutes_per_run:
        return int(args.steps or VARIANTS[name].steps)
    cfg = config.load(VARIANTS[name].config, words, base.config_of)
    return budget.steps(args.minutes_per_run, cfg, budget.Trial(args.output, f"{name} {on}"))


def judge(place: Workplace, folder: Path, told: str, untrained: bool) -> dict[str, Any]:
    """Thresholds and figures of every bed, trained and ``untrained``; the threshold is kept in the run's folder."""
    networks = {"trained": load_run(folder, trained=True)}
    if untrained:
        networks["untrained"] = load_run(folder, trained=False)
    trained = networks["trained"]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"judging {told}", total=1 + len(place.judged_on))
        chosen = {}
        for who, one in networks.items():
            clips = [clip for bed in place.chosen_on for clip in _judged(place, one, bed, "val")]
            chosen[who] = locating.threshold(clips)
            if who == "trained":
                why = calibration.BEST.format("sounds")
                calibration.from_peaks(np.array(peaks(clips)), chosen[who], one.digest, why).save(folder)
        bar.advance(task)
        figures = {}
        for bed in place.judged_on:
            average = place.average(bed, trained.inputs)
            held = {who: _judged(place, one, bed, "test") for who, one in networks.items()}
            if bed.name not in place.trivial:
                place.trivial[bed.name] = locating.trivial(held["trained"], average)
            beside = place.trivial[bed.name]
            figures[bed.name] = locating.table(held["trained"], held.get("untrained"), chosen, average, beside)
            bar.advance(task)
    return {"digest": trained.digest, "threshold_share": calibration.SHARE, "thresholds": chosen, "beds": figures}


def _judged(place: Workplace, one: Loaded, bed: Bed, split: str) -> list[Judged]:
    return maps.judged(one.method, one.inputs, place.read(bed, one.inputs, split))


def row(
    place: Workplace, listed: Path, name: str, words: list[str], steps: int, seed: int, on: str, untrained: bool
) -> dict[str, Any]:
    """Train one variant with one seed, or go on, and judge it."""
    variant = VARIANTS[name]
    folder = place.out / "runs" / f"{name}-{on}-{steps}-{seed}"
    cfg = config.load(variant.config, [*words, f"steps={steps}", f"seed={seed}"], base.config_of)
    _trained(run.start(cfg, folder))
    return judged_row(place, folder, name, words[1:], on, Manifest.load(listed).digest(), untrained)


def judged_row(
    place: Workplace, folder: Path, name: str, words: list[str], on: str, data: str, untrained: bool = True
) -> dict[str, Any]:
    """What a trained run shows. Raises ValueError for one that learnt from other recordings: it may know the beds."""
    cfg = load_run(folder).cfg
    if Manifest.load(Path(cfg.data.manifest)).digest() != data:
        raise ValueError(f"{folder} learnt from other recordings than {on} has here: its held-out clips may be others")
    return {
        "config": "localizers", "name": name, "method": cfg.method.name, "on": on, "words": words, "steps": cfg.steps,
        "seed": cfg.seed, "split": "test", "data": data,
        "judged_on": place.digests(), "train_seconds": round(kept.trained(folder)),
        **judge(place, folder, f"{name}, seed {cfg.seed}", untrained),
    }  # fmt: skip


def same(one: dict[str, Any], name: str, data: str, words: list[str], steps: int, seed: int) -> bool:
    """Whether a row is of just this run, whatever it was judged on."""
    found = one["name"], one["data"], one["words"], one["steps"], one["seed"]
    return found == (name, data, words[1:], steps, seed)


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/localizers"))
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="NAME",
                        help=f"of {', '.join(VARIANTS)}")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--on", nargs="+", choices=("world", "grid"), default=["world", "grid"],
                        help="what is learnt from; grid only where its recordings are there")  # fmt: skip
    parser.add_argument("--harder", action="store_true", help="judge with more sounds and talkers at once, too")
    parser.add_argument("--learn", nargs="+", default=["medium"], choices=beds.LEVELS, help="levels learnt from")
    parser.add_argument("--levels", nargs="+", default=list(beds.LEVELS), choices=beds.LEVELS, help="levels judged")
    parser.add_argument("--clips", type=int, default=1000, help="of each level of the world")
    parser.add_argument("--side", type=int, default=112, help="pixels of a made-up world's pictures")
    parser.add_argument("--worlds", type=Path, help="folder of worlds (easy, medium, hard) made before")
    parser.add_argument("--mosaics", nargs="*", default=list(beds.MOSAICS), choices=beds.MOSAICS)
    parser.add_argument("--mosaic-count", type=int, default=200, help="mosaics of each kind, a quarter for validation")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AVSSL_DATA", "../shared/data")))
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, help="of each run; by what it sees unless given")
    budget.add_argument("--minutes-per-run", type=float, help="of training; steps are found by timing a short trial")
    parser.add_argument("--untrained-once", action="store_true", help="judge untrained networks of one seed alone")
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "localizers.jsonl", help="where rows are added")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="changes every run's config")
    parser.add_argument("--judge", nargs="+", default=[], type=Path, metavar="RUN",
                        help="runs trained before, on the same recordings; nothing is trained")  # fmt: skip
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Every variant and seed that has no row yet."""
    args = arguments(words)
    args.output.mkdir(parents=True, exist_ok=True)
    lacking = beds.missing("talkers", args.data) or ("talkers" not in args.mosaics and "--mosaics leaves them out")
    if "grid" in args.on and lacking:
        if args.on == ["grid"]:
            raise ValueError(f"--on grid needs GRID and the bed talkers; {lacking}")
        Console(stderr=True).print(f"nothing on grid: {lacking}", highlight=False)
    for on in args.on:
        if on != "grid" or not lacking:
            compare(args, on)


def compare(args: argparse.Namespace, on: str) -> None:
    """The variants that learn from one kind of recordings, and their tables."""
    place, listed = workplace(args, on)
    data, judged_on = Manifest.load(listed).digest(), place.digests()
    rows = kept.rows_of(args.rows)
    names = args.only or [name for name, variant in VARIANTS.items() if variant.same == (on == "world")]
    plan: list[tuple[int, str, Path | None]] = [(seed, name, None) for seed in args.seeds for name in names]
    if args.judge:
        told = [load_run(run).cfg for run in args.judge]
        names = [on if on in VARIANTS else cfg.method.name for cfg in told]
        plan = [(cfg.seed, name, run) for cfg, name, run in zip(told, names, args.judge, strict=True)]
    turns = kept.Turns(len(plan))
    for number, (seed, name, run_before) in enumerate(plan):
        changes = [f"data={listed}"]
        if run_before is None:
            changes += [*(SAME if VARIANTS[name].same else ()), *VARIANTS[name].words, *args.set]
            steps = planned(args, name, changes, on)
        else:
            steps = told[number].steps
        before = [one for one in rows if same(one, name, data, changes, steps, seed)]
        if any(judged_on.items() <= one["judged_on"].items() for one in before):
            continue
        turns.begin(number, f"{name}, seed {seed}", steps)
        rows = [one for one in rows if one not in before]  # judged on other beds
        if run_before is None:
            untrained = not args.untrained_once or seed == args.seeds[0]
            rows.append(row(place, listed, name, changes, steps, seed, on, untrained))
        else:
            rows.append(judged_row(place, run_before, name, [], on, data))
        if on == "world":
            rows[-1]["learn"] = args.learn
        turns.done()
        kept.keep(args.rows, rows)
    show(Console(), [one for one in rows if one["name"] in names and one["data"] == data])


if __name__ == "__main__":
    kept.start(main)
