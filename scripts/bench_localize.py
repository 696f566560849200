"""How fast `avssl localize` is against real time: a film of 360 lines with sound, on two threads of a CPU.

    python scripts/bench_localize.py [--run RUN] [--seconds 20] [--rounds 5] [--rows results/localize_speed.jsonl]

The floor is decoding the film and encoding it again, which no overlay can do without. Floor and overlay take turns in
each round, so that other load falls on both alike; ratios are taken within rounds and told as median and quartiles.
CPU seconds are of all threads; wall seconds are longer on a machine that is shared. Without --run the network is that
of configs/demo.yaml with its weights as they were drawn, which takes as long; half of its picture is lit.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bench_figures
import numpy as np
import torch
from bench_figures import Figures, figure, timed
from numpy.typing import NDArray

from avssl import config
from avssl.data.encode import write_clip
from avssl.data.media import decode
from avssl.inputs import Inputs, Vocabulary
from avssl.localize import film
from avssl.localize.looking import Looking
from avssl.methods import base
from avssl.train import build
from avssl.train.checkpoint import load_run

HEIGHT, WIDTH, FPS, HZ, THREADS = 360, 640, 25, 44100, 2
CHUNK = 50  # pictures decoded at a time
TARGET = 1.0  # x real time


def made(path: Path, seconds: float) -> None:
    """A panning colour texture with grain and a moving disc, with a chirp."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for k in range(round(seconds * FPS)):
            waves = [np.sin((x + 3 * k) / (5 + 3 * c)) * np.cos((y - 2 * k) / (7 + 2 * c)) for c in range(3)]
            picture = 128 + 90 * np.stack(waves, -1) + rng.normal(0, 4, (HEIGHT, WIDTH, 1))
            disc = (x - WIDTH / 2 - WIDTH / 3 * np.cos(k / 12)) ** 2 + (y - HEIGHT / 2) ** 2 < (HEIGHT / 8) ** 2
            picture[disc] = (240, 40, 60)
            yield picture.clip(0, 255).astype(np.uint8)

    t = np.arange(round(seconds * HZ)) / HZ
    write_clip(path, pictures(), FPS, (0.3 * np.sin(2 * np.pi * (200 + 50 * t) * t)).astype(np.float32), HZ)


def floor(path: Path, out: Path, seconds: float) -> None:
    """Decode and encode alone, in the same steps and with the same settings."""

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for first in range(0, round(seconds * FPS), CHUNK):
            times = np.arange(first, min(first + CHUNK, round(seconds * FPS))) / FPS
            yield from decode(path, times=times.tolist(), size=(HEIGHT, WIDTH)).video.transpose(0, 2, 3, 1)

    write_clip(out, film.ahead(pictures()), FPS, decode(path, audio=(0.0, seconds), hz=HZ).audio, HZ)


def looking(run: Path | None) -> tuple[Looking, str]:
    """What looks, and its name for people."""
    if run is not None:
        loaded = load_run(run)
        return Looking(run, loaded.digest, loaded.method, loaded.inputs), f"{loaded.cfg.method.name} of {run.name}"
    cfg = config.load("demo", ["data=none"], base.config_of)
    inputs = Inputs(cfg.inputs, Vocabulary.train(["a bell rings", "the drum is hit"], 60))
    method = build.method_of(cfg, inputs, 1).eval()
    return Looking(Path(), "", method, inputs), "network of configs/demo.yaml"


def measured(look: Looking, seconds: float, rounds: int) -> Figures:
    """Name -> figure. The first round loads libraries and does not count."""
    taken: dict[str, list[list[float]]] = {name: [] for name in ("floor", "look", "draw")}
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "film.mp4", Path(folder) / "out.mp4"
        made(path, seconds)
        middle = float(np.median(look(path, {"sound": None}, threshold=0.0, ceiling=1.0)[0].heat.maps))
        for _ in range(rounds + 1):
            _, *spent = timed(lambda: floor(path, out, seconds))
            taken["floor"].append(spent)
            found, *spent = timed(lambda: look(path, {"its own sound": None}, threshold=middle, ceiling=middle + 0.2))
            taken["look"].append(spent)
            _, *spent = timed(lambda found=found: film.make(path, out, found))  # type: ignore[misc]
            taken["draw"].append(spent)
    walls, cpus = ({name: np.array(held)[1:, which] for name, held in taken.items()} for which in (1, 0))
    wall, cpu = walls["look"] + walls["draw"], cpus["look"] + cpus["draw"]
    return {
        "speed, wall": figure(seconds / wall, "x real time", f">= {TARGET:g}"),
        "speed, by CPU seconds on one core": figure(seconds / cpu, "x real time"),
        "decode and encode alone, wall": figure(seconds / walls["floor"], "x real time"),
        "overlay against decode and encode, CPU": figure(cpu / cpus["floor"], "x"),
        "overlay against decode and encode, wall": figure(wall / walls["floor"], "x"),
        "of it looking (decode and network), CPU": figure(cpus["look"] / seconds, "s per s"),
        "of it drawing (decode, overlay, encode, sheet), CPU": figure(cpus["draw"] / seconds, "s per s"),
    }


def main() -> None:
    """Measure, print, keep the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a trained run; else the network of configs/demo.yaml")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the film")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=Path, help="where the row is kept, such as results/localize_speed.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    look, name = looking(options.run)
    before = os.getloadavg()[0]
    figures = measured(look, options.seconds, options.rounds)
    told = f"{name}, {options.seconds:g} s, {options.rounds} rounds"
    measured_on = bench_figures.machine(THREADS)
    row = bench_figures.row(
        "localize_speed", measured_on, before, size=HEIGHT, width=WIDTH, vectors=told, figures=figures
    )
    for told, held in figures.items():
        spread = f"({held['low']:.2f} to {held['high']:.2f})"
        print(f"{told:54s} {held['value']:6.2f} {held['unit']:12s} {spread:18s} {held['target']}")
    if options.rows:
        bench_figures.keep(options.rows, row)


if __name__ == "__main__":
    main()
