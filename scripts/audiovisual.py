"""Which audio-visual or narrated method learns most? One trunk, inputs and budget, the same questions to all.

    python scripts/audiovisual.py [--on world grid digits] [--steps 300 | --minutes-per-run 5] [--seeds 0 1 2]
                                  [--only trimodal avid] [-o runs/audiovisual] [--data DATA] [--set key=value ...]
    python scripts/audiovisual.py --plots [results/plots]

Every method under avssl/methods/audiovisual and avssl/methods/narration that needs nothing but a video's own picture,
sound and words learns from the made-up world (level easy), and from one talker of GRID (DATA/grid); those that need
neither words nor more than 0.8 s learn from digits that four speakers say, too, each with pictures of the digit
(DATA/fsdd, DATA/mnist), and are asked about two others. Where DATA/esc10 and DATA/cifar10 are there, ESC-10's sounds
are learnt from beside the world, without labels, each with a picture of its own. Trunk, inputs, batch and steps are
those of all (300 steps of clips, or 600 of single pictures, which take less time); optimizer and settings are its own
shipped config's. Judged are held-out recordings: finding across modalities beside the same network untrained and
chance; linear probes of each encoder beside its untrained self and features without an encoder: the world's kinds,
GRID's six words, digits, and ESC-10 by its folds for encoders of sound that learnt from the world; and, of those that
can, by how much a GRID clip's sound is late, and narration put right. A run's course of finding is taken at its
quarters. Test recordings choose nothing.

An interrupted comparison goes on, and what is done is not done again; seeds may be added later. With --minutes-per-run
each method's steps are found by timing a short trial, once for all seeds. Each run adds a row to
results/audiovisual.jsonl; python scripts/results.py makes the tables, --plots the curves of score against seconds.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import audiovisual_curves
import audiovisual_state
import audiovisual_tables
import budget
import digits
import kept
import numpy as np
from audiovisual_grounds import Ground, ground
from examiner import SEARCH
from rich.console import Console

from avssl import config
from avssl.cli._counting import counting
from avssl.config import RunConfig
from avssl.data.manifest import Manifest
from avssl.evaluation import evaluate, finding, in_sight
from avssl.evaluation.middles import middles
from avssl.inputs import Inputs
from avssl.methods import base
from avssl.sample import Needs
from avssl.train import run
from avssl.train.build import dump
from avssl.train.checkpoint import load_run, steps_in

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ("audiovisual", "narration")
TRUNK = [
    *(f"encoders.{name}.{word}" for name in ("image", "video")
      for word in ("name=small", "width=128", "stride=8", "norm=batch")),
    "encoders.audio.name=small", "encoders.audio.width=128", "encoders.audio.norm=batch",
    "encoders.text.name=transformer", "encoders.text.width=128", "encoders.text.layers=2",
    "data.batch=32", "data.workers=1", "data.item_seconds=10", "data.cache_gb=8", "precision=bf16", "evaluate_every=0",
    "log_every=10",
]  # fmt: skip
"""encoders, batch and precision of every run, whatever its own config says"""
STEPS, PICTURES = 300, 600
"""of methods that see clips, and of those that see one picture of each"""
INPUTS = {
    "world": [
        "inputs.height=64", "inputs.width=64", "inputs.frames=24", "inputs.fps=12.5", "inputs.audio_seconds=1.92",
        "inputs.mels=64", "inputs.tokens=24", "inputs.vocabulary=500", "encoders.video.time_stride=4",
    ],
    "grid": [
        "inputs.height=48", "inputs.width=60", "inputs.frames=40", "inputs.fps=25", "inputs.audio_seconds=1.6",
        "inputs.mels=64", "inputs.tokens=12", "inputs.vocabulary=200", "inputs.narration=window",
        "encoders.video.time_stride=2",
    ],
    "digits": [
        *digits.INPUTS, "encoders.image.stride=4", "encoders.video.stride=4", "encoders.video.time_stride=1",
    ],
}  # fmt: skip
"""data set -> inputs of every run on it"""
WORDLESS = {"digits": digits.SECONDS}
"""data set without words -> seconds of its recordings; methods that need words, or more, are not asked there"""
OWN: dict[str, dict[str, list[str]]] = {
    "avts": {
        "world": ["inputs.frames=16", "inputs.audio_seconds=1.28"],
        "grid": ["inputs.frames=25", "inputs.audio_seconds=1"],
    },
    "multisensory": {"grid": ["inputs.frames=25", "inputs.audio_seconds=1"]},
    "sync_offset": {
        "world": ["method.offsets=17", "inputs.frames=12", "inputs.audio_seconds=0.96"],
        "grid": ["method.offsets=31", "inputs.frames=25", "inputs.audio_seconds=1"],
    },
    "cma": {
        "world": ["method.alone=2", "method.every=1", "optim.lr=0.0005"],
        "grid": ["method.alone=4", "method.every=2", "optim.lr=0.0005"],
    },
}  # fmt: skip
"""method -> data set -> what it cannot do without: windows so short that two of them fit into a recording, offsets as
great as sounds are moved by, in windows that fit into the moved clips, a stage of AVID, at its learning rate, before
anything is mined"""
TUNED = {"trimodal-tuned": {"world": "demo", "grid": "grid"}}
"""name -> data set -> config: the flagship with the settings it is shipped with for that data set; when asked for"""
COURSE = 4
"""parts of a run, at whose ends it is judged"""


def names() -> list[str]:
    """All methods of the families, but for those whose shipped config asks for streams beside picture and sound."""
    found = [name for name, family in base.catalogue().items() if family in FAMILIES]
    return [name for name in found if not _needs(config.load(name, [], base.config_of)).streams]


def _needs(cfg: RunConfig) -> Needs:
    return base.find(cfg.method.name).needs(cfg.method, Inputs(cfg.inputs))


def asked_on(name: str, on: str) -> bool:
    """Whether a method can learn from a data set."""
    if on not in WORDLESS:
        return True
    if name in TUNED:
        return False
    cfg = config.load(name, words_of(name, on, ()), base.config_of)
    needs = _needs(cfg)
    spoken = needs.narrations and "text" not in base.find(cfg.method.name).optional
    return not spoken and needs.window_seconds <= WORDLESS[on] + 1e-6


def words_of(name: str, on: str, more: Sequence[str]) -> list[str]:
    """What is changed in a method's config."""
    return [*TRUNK, *INPUTS[on], *OWN.get(name, {}).get(on, ()), *more]


def run_config(name: str, place: Ground, more: Sequence[str]) -> RunConfig:
    """The configuration of a run."""
    shipped = TUNED[name][place.name] if name in TUNED else name
    words = [f"data={place.learnt}", *words_of(name, place.name, more)]
    return config.load(shipped, words, base.config_of)


def course(place: Ground, folder: Path) -> Iterator[dict[str, Any]]:
    """(step, seconds of training, figure of each direction) at the ends of all parts of a run but the last."""
    held = Manifest.load(place.listed)
    shown = in_sight(held.split("test"))
    labels = [one.labels.get(place.label, "") for one in shown]
    steps, seconds = kept.seconds_at(folder)
    for path in steps_in(folder / "checkpoints")[:-1]:
        one = load_run(path)
        vectors = middles(one.method, one.inputs, held, shown) if one.method.spaces else {}
        figures = {
            f"{a}_to_{b}": judged[0][place.figure]
            for a, b in finding.directions(list(vectors))
            if a != b and (judged := finding.direction(vectors[a], vectors[b], labels, intra=False))
        }
        spent = round(float(np.interp(one.step, steps, seconds)), 1)
        yield {"step": one.step, "seconds": spent, **scored(figures)}


def scored(figures: dict[str, float]) -> dict[str, Any]:
    """The figure of each direction, and their mean, None where there is none."""
    return {"directions": figures, "score": float(np.mean(list(figures.values()))) if figures else None}


def row(asked: dict[str, Any], cfg: RunConfig, place: Ground, folder: Path) -> dict[str, Any]:
    """Train one method with one seed, or go on, and judge it beside its untrained self.

    ``asked`` is what tells this row from others; it becomes a part of it.
    """
    if (done := run.start(cfg, folder)).how == "interrupted":
        raise SystemExit(128 + done.signal)
    began = time.monotonic()
    networks = {"trained": load_run(folder), "untrained": load_run(folder, trained=False)}
    found: dict[str, Any] = {}
    along: list[dict[str, Any]] = []
    with counting(f"judging {asked['name']}, seed {cfg.seed}") as tell:
        parts = len(steps_in(folder / "checkpoints"))
        tell(0, parts)
        for point in course(place, folder):
            along.append(point)
            tell(len(along), parts)
        if networks["trained"].method.spaces:  # what has none cannot be searched
            found = evaluate(folder, Manifest.load(place.listed), label=place.label)["retrieval"]
        tell(parts, parts)
    across = {name: one[place.figure] for name, one in found.items() if len(set(name.split("_to_"))) == 2}
    trained = round(kept.trained(folder), 1)
    first, last = (scored({name: one[who] for name, one in across.items()}) for who in ("untrained", "trained"))
    along = [{"step": 0, "seconds": 0.0, **first}, *along, {"step": cfg.steps, "seconds": trained, **last}]
    with counting(f"probing {asked['name']}, seed {cfg.seed}") as tell:
        probes = place.probing.figures(networks, cfg.seed, tell)
    uses: dict[str, Any] = {}
    if place.uses:
        with counting(f"using {asked['name']}, seed {cfg.seed}") as tell:
            uses = place.uses.figures(networks, tell)
    health = audiovisual_state.of(cfg, folder, networks)
    return {
        "config": "audiovisual", "family": base.catalogue()[cfg.method.name], **asked, "method": cfg.method.name,
        "run": dump(cfg), "split": "test", "digest": networks["trained"].digest, "label": place.label,
        "figure": place.figure, "train_seconds": trained, "judge_seconds": round(time.monotonic() - began, 1),
        "retrieval": found, "course": along, "probes": probes, "uses": uses, **health,
    }  # fmt: skip


def same(one: dict[str, Any], asked: dict[str, Any], cfg: RunConfig) -> bool:
    """Whether a row is of just this run, with the settings of today, whatever its encoders were asked, and how."""
    told = {key: value for key, value in asked.items() if key not in ("sets", "search")}
    return all(one[key] == value for key, value in told.items()) and kept.of_today(one, cfg)


def answered(one: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether the encoders of a row of this run were asked all that is asked today, as it is asked today."""
    return one.get("search") == asked["search"] and asked["sets"].items() <= one["sets"].items()


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/audiovisual"))
    parser.add_argument("--on", nargs="+", default=list(INPUTS), choices=list(INPUTS), help="what is learnt from")
    every = names()
    parser.add_argument("--only", nargs="+", default=every, choices=[*every, *TUNED], metavar="NAME",
                        help=f"of {', '.join([*every, *TUNED])}")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    budgets = parser.add_mutually_exclusive_group()
    budgets.add_argument("--steps", type=int, help="of each run; by what it sees unless given")
    budgets.add_argument("--minutes-per-run", type=float, help="of training; steps are found by timing a short trial")
    parser.add_argument("--clips", type=int, default=1000, help="of the made-up world")
    parser.add_argument("--side", type=int, default=112, help="pixels of the made-up world's pictures")
    parser.add_argument("--worlds", type=Path, help="folder of a world (easy) made before")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AVSSL_DATA", "../shared/data")))
    parser.add_argument(
        "--rows", type=Path, default=ROOT / "results" / "audiovisual.jsonl", help="where rows are added"
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="changes every run's config")
    parser.add_argument("--plots", nargs="?", type=Path, const=ROOT / "results" / "plots", metavar="FOLDER",
                        help="draw what the rows tell, train nothing")  # fmt: skip
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Every data set, method and seed that has no row yet."""
    args = arguments(words)
    rows = kept.rows_of(args.rows)
    if args.plots:
        for path in audiovisual_curves.draw(rows, args.plots):
            Console(stderr=True).print(f"wrote {path}", highlight=False)
        return
    rows = compare(args, rows)
    audiovisual_tables.show(Console(), [one for one in rows if one["name"] in args.only and one["on"] in args.on])


def compare(args: argparse.Namespace, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with those that were missing. Raises ValueError at the end where runs have failed."""
    grounds = {on: ground(args, on) for on in dict.fromkeys(args.on)}
    data = {on: Manifest.load(place.learnt).digest() for on, place in grounds.items()}
    plan = [(on, seed, name) for on in grounds for seed in args.seeds for name in args.only if asked_on(name, on)]
    turns = kept.Turns(len(plan))
    for number, (on, seed, name) in enumerate(plan):
        place = grounds[on]
        try:
            alike = {"name": name, "on": on, "words": words_of(name, on, args.set), "data": data[on]}
            steps = planned(args, place, alike, rows)
            asked = {
                **alike, "steps": steps, "seed": seed, "used": place.described(), "sets": place.probing.digests(),
                "search": SEARCH,
            }  # fmt: skip
            each = [f"steps={steps}", f"checkpoint_every={max(1, -(-steps // COURSE))}", f"keep={COURSE}"]
            cfg = run_config(name, place, [*args.set, f"seed={seed}", *each])
            before = [one for one in rows if same(one, asked, cfg)]
            if any(answered(one, asked) for one in before):
                continue
            turns.begin(number, f"{name} on {on}, seed {seed}", steps)
            done = row(asked, cfg, place, args.output / "runs" / f"{name}-{on}-{steps}-{seed}")
        except ValueError as error:
            turns.fail(f"{name} on {on}, seed {seed}", error)
            continue
        turns.done()
        done["minutes"] = args.minutes_per_run
        rows = [*(one for one in rows if one not in before), done]  # before: asked other questions
        kept.keep(args.rows, rows)
    turns.end()
    return rows


def planned(args: argparse.Namespace, place: Ground, alike: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    """The steps of a method on a data set, the same for every seed."""
    name = alike["name"]
    cfg = run_config(name, place, args.set)
    if not args.minutes_per_run:
        return args.steps or (PICTURES if _needs(cfg).frames == 1 else STEPS)
    trial = budget.Trial(args.output, f"{name} {place.name} {alike['data'][:12]} {' '.join(args.set)}".strip(), alike)
    return budget.steps(args.minutes_per_run, cfg, trial, rows)


if __name__ == "__main__":
    kept.start(main)
