"""What does each method of pictures learn? One trunk, one budget, real pictures, the same questions to all.

    python scripts/compare.py image [--minutes-per-run 3 | --steps 2000] [--seeds 0 1 2] [--only simclr rotation]
                                    [-o runs/compare] [--data DATA] [--set key=value ...]
    python scripts/compare.py image --plots [results/plots]

Every method under avssl/methods/image and avssl/methods/generative that trains an encoder of pictures alone learns from
CIFAR-10 without its labels (DATA/cifar10/cifar10.tar.gz; Krizhevsky, 2009), beside `supervised`, which is given them,
`random`, which learns nothing, and `rescaled`, whose weights are scaled to the data instead (Kraehenbuehl 2015). Asked
on pictures that nobody has learnt from: a linear probe of each stage, nearest neighbors, 1 % and 10 % of the
labels, a short fine-tuning, MNIST and frames of the made-up world, the probe under blur, noise and less contrast, and
how well the pretext is solved. A run's course is probed at its quarters. Test pictures choose nothing.

An interrupted comparison goes on, and what is done is not done again; seeds may be added later. With --minutes-per-run
each method's steps are found by timing a short trial, once for all seeds. Each run adds a row to results/compare.jsonl;
python scripts/results.py makes the tables, --plots the plots, and a sheet of filters and nearest neighbors.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import budget
import compare_sheet
import kept
import torch
from compare_figures import UNTOLD
from compare_sets import Sizes, label_sets, pictures
from compare_tables import show
from examiner import MAIN, SEARCH, Examination, LabelSet, figures
from rich.console import Console

from avssl import config
from avssl.cli._counting import counting
from avssl.cli._feedback import Feedback
from avssl.config import RunConfig
from avssl.data.manifest import Manifest
from avssl.evaluation.task import telling
from avssl.inputs import Inputs
from avssl.methods import base
from avssl.train import build, run
from avssl.train.build import Loaded, dump
from avssl.train.checkpoint import load_run, steps_in

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ("image", "generative")
SAME = [
    "inputs.height=48", "inputs.width=48", "encoders.image.name=small", "encoders.image.width=128",
    "encoders.image.stride=8", "encoders.image.norm=group", "data.cache_gb=8", "precision=bf16", "evaluate_every=0",
    "log_every=10",
]  # fmt: skip
"""trunk, inputs and precision of every run, whatever its own config says; batch and optimizer are the method's"""
OWN = {
    "mae": ["encoders.image.name=vit", "encoders.image.layers=4", "encoders.image.stride=6"],
    "split_brain": ["encoders.image.width=64"],
}
"""method -> what it cannot do without: patches that can be hidden; two encoders, together as wide as one of others"""
STILL = ["steps=1", "optim.lr=1e-12", "optim.weight_decay=0"]
"""a run whose one step moves nothing"""
COURSE = 4
"""parts of a run, at whose ends it is probed"""
MIDDLE = ("method.inside=true", "method.hidden=256")
"""what keeps the border from telling how a copy was warped; the middle of a picture alone is learnt from then"""
MORE = {
    "autoencoder": ("denoising_autoencoder", ("method.amount=0",)),
    "denoising_autoencoder-gaussian": ("denoising_autoencoder", ("method.noise=gaussian", "method.amount=0.1")),
    "relative_transformation-affine": ("relative_transformation", ("method.kind=affine", *MIDDLE)),
    "relative_transformation-inside": ("relative_transformation", MIDDLE),
    "gan-regressor": ("gan", ("method.learner=regressor", "method.joint=0.25")),
}
"""name -> method and what is changed: the baseline without noise, and other forms that papers tell of"""


class Variant(NamedTuple):
    """A shipped config, what is changed in it, and whether anything is learnt."""

    config: str
    words: tuple[str, ...] = ()
    learns: bool = True


def variants() -> dict[str, Variant]:
    """Name -> what is compared: what needs no training, all methods of pictures as they are found, labels last."""
    found = [
        name
        for name, family in base.catalogue().items()
        if family in FAMILIES and base.find(name).modalities == ("image",) and name != "supervised"
    ]
    return {
        "random": Variant("simclr", tuple(STILL), learns=False),
        "rescaled": Variant("simclr", (*STILL, "init=rescaled"), learns=False),
        **{name: Variant(name, tuple(OWN.get(name, ()))) for name in found},
        **{name: Variant(*changed) for name, changed in MORE.items()},
        "supervised": Variant("supervised"),
    }


def labeled(name: str) -> list[str]:
    """What a method that is given labels must know of them."""
    fields = base.config_of(name).model_fields
    known = {"label": "kind", "classes": "10"}
    return [f"method.{key}={value}" for key, value in known.items() if key in fields]


def words_of(variant: Variant, more: Sequence[str]) -> list[str]:
    """What is changed in a variant's config."""
    return [*SAME, *labeled(variant.config), *variant.words, *more]


def run_config(variant: Variant, listed: Path, words: Sequence[str]) -> RunConfig:
    """The configuration of a run."""
    return config.load(variant.config, [f"data={listed}", *words_of(variant, words)], base.config_of)


def pretext(cfg: RunConfig, folder: Path, one: Loaded) -> dict[str, float]:
    """How well held-out pictures' pretext is solved, on validation, as far as its figures are :func:`telling`."""
    if cfg.method.name in UNTOLD:
        return {}
    with torch.no_grad():
        found = Feedback(cfg, folder).task(one.method)
    found.pop("score", None)
    return telling(one.method, found)


def course(cfg: RunConfig, folder: Path, sets: dict[str, LabelSet], ask: Any) -> list[dict[str, Any]]:
    """(step, pretext, linear probe) at the ends of all parts of a run but the last."""
    told = []
    for path in steps_in(folder / "checkpoints")[:-1]:
        one = load_run(path)
        found = ask(one.method, sets).linear(MAIN)
        accuracy = float((found.predicted == sets[MAIN].truth(cfg.seed)).mean())
        told.append({"step": one.step, "linear": accuracy, "pretext": pretext(cfg, folder, one)})
    return told


def row(
    asked: dict[str, Any], variant: Variant, cfg: RunConfig, folder: Path, sets: dict[str, LabelSet]
) -> dict[str, Any]:
    """Train one variant with one seed, or go on, and examine it beside its untrained self.

    ``asked`` is what tells this row from others; it becomes a part of it.
    """
    finished(run.start(cfg, folder))
    began = time.monotonic()
    networks = {"trained": load_run(folder), "untrained": load_run(folder, trained=False)}
    build.layout(networks["untrained"].method, cfg.channels_last)  # as the trained one has it, so that sums are equal
    with counting(f"examining {asked['name']}, seed {cfg.seed}") as tell:
        ask = partial(_examination, cfg.seed, asked["tuning_steps"], folder.parent.parent / "answers", tell)
        told = {who: ask(one.method, sets).answers() for who, one in networks.items()}
        found = figures(told["trained"], told["untrained"], sets, cfg.seed)
        along = course(cfg, folder, sets, ask) if variant.learns else []
    return {
        "config": "compare", "family": "image", **asked, "method": cfg.method.name, "learns": variant.learns,
        "labels": bool(labeled(cfg.method.name)), "run": dump(cfg), "split": "test",
        "digest": networks["trained"].digest, "pictures_seen": asked["steps"] * cfg.data.batch,
        "train_seconds": round(kept.trained(folder)), "examine_seconds": round(time.monotonic() - began),
        "pretext": {who: pretext(cfg, folder, one) for who, one in networks.items()} if variant.learns else {},
        "course": along, "figures": found,
    }  # fmt: skip


def _examination(
    seed: int, steps: int, kept: Path, tell: Any, method: base.Method[Any], sets: dict[str, LabelSet]
) -> Examination:
    return Examination(method, sets, seed, steps, kept, lambda what, done, total: tell(done, total))


def finished(done: run.Run) -> None:
    """A run that a signal ended ends the comparison."""
    if done.how == "interrupted":
        raise SystemExit(128 + done.signal)


def same(one: dict[str, Any], asked: dict[str, Any], cfg: RunConfig) -> bool:
    """Whether a row is of just this run, with the settings of today, judged on these pictures, however penalties were
    searched."""
    told = {key: value for key, value in asked.items() if key != "search"}
    return all(one[key] == value for key, value in told.items()) and kept.of_today(one, cfg)


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=("image",), help="what is compared")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/compare"))
    every = list(variants())
    parser.add_argument("--only", nargs="+", default=every, choices=every, metavar="NAME",
                        help=f"of {', '.join(every)}")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    budgets = parser.add_mutually_exclusive_group()
    budgets.add_argument("--steps", type=int, default=2000, help="of each run")
    budgets.add_argument("--minutes-per-run", type=float, help="of training; steps are found by timing a short trial")
    parser.add_argument("--tuning-steps", type=int, default=150, help="of fine-tuning")
    counts = {"train": "learnt from", "val": "of validation", "test": "listed with them, unused",
              "probed": "and of each part, that probes are fitted and judged on"}  # fmt: skip
    for name, told in counts.items():
        parser.add_argument(f"--{name}", type=int, default=getattr(Sizes(), name), help=f"of each class, {told}")
    parser.add_argument("--mnist", type=int, default=Sizes().mnist, help="digits of each class and part")
    parser.add_argument("--world", type=int, default=Sizes().world, help="clips of the made-up world")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AVSSL_DATA", "../shared/data")))
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "compare.jsonl", help="where rows are added")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="changes every run's config")
    parser.add_argument("--plots", nargs="?", type=Path, const=ROOT / "results" / "plots", metavar="FOLDER",
                        help="draw what the rows tell, train nothing")  # fmt: skip
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Every variant and seed that has no row yet."""
    args = arguments(words)
    rows = kept.rows_of(args.rows)
    if args.plots:
        import compare_plots

        compare_plots.draw(rows, args.plots, args.output)
        return
    compare(args, rows)
    show(Console(), [one for one in rows if one["name"] in args.only])


def compare(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Add the rows that are missing, one after the other. Raises ValueError at the end where runs have failed."""
    out: Path = args.output
    sizes = Sizes(args.train, args.val, args.test, args.probed, args.mnist, args.world)
    listed, known = pictures(out, args.data, sizes), variants()
    first = run_config(known[args.only[0]], listed, args.set)
    with counting("decoding") as tell:
        sets = label_sets(out, args.data, Inputs(first.inputs), sizes, lambda _, *counts: tell(*counts))
    data = Manifest.load(listed).digest()
    plan = [(seed, name) for seed in args.seeds for name in args.only]
    turns = kept.Turns(len(plan))
    for number, (seed, name) in enumerate(plan):
        variant = known[name]
        cfg = run_config(variant, listed, args.set)
        alike = {"name": name, "words": words_of(variant, args.set), "data": data}
        steps = args.steps if variant.learns else 0
        if variant.learns and args.minutes_per_run:
            trial = budget.Trial(out, f"{name} {data[:12]} {' '.join(args.set)}".strip(), alike)
            steps = budget.steps(args.minutes_per_run, cfg, trial, rows)
        asked = {
            **alike, "steps": steps, "seed": seed,
            "sets": {which: held.about(seed) for which, held in sets.items()}, "tuning_steps": args.tuning_steps,
            "search": SEARCH,
        }  # fmt: skip
        before = [one for one in rows if same(one, asked, cfg)]
        if any(one.get("search") == SEARCH for one in before):
            continue
        turns.begin(number, f"{name}, seed {seed}", steps)
        length = [f"steps={steps}"] if variant.learns else []
        each = [f"checkpoint_every={max(1, -(-steps // COURSE))}", f"keep={COURSE}"]
        cfg = run_config(variant, listed, [*args.set, f"seed={seed}", *length, *each])
        try:
            done = row(asked, variant, cfg, compare_sheet.folder(out, asked), sets)
        except ValueError as error:
            turns.fail(f"{name}, seed {seed}", error)
            continue
        turns.done()
        minutes = before[0]["minutes"] if before else args.minutes_per_run
        rows[:] = [*(one for one in rows if one not in before), {**done, "minutes": minutes}]
        kept.keep(args.rows, rows)
    turns.end()


if __name__ == "__main__":
    kept.start(main)
