"""How fast methods of pictures learn, beside lightly where it is installed; and what a large contrastive batch costs.

    python scripts/bench_methods.py [--only simclr byol mae] [--side 64] [--batch 128] [--rounds 5] [--threads 2]
                                    [--workers 1] [--precision bf16] [--loss-batch 4096] [--rows FILE] [--quick]

Ours and lightly's have the same trunk (MAE's transformer is torchvision's there, of the same size), batch, precision,
optimizer and settings of views. They take turns in each round, so that other load falls on both alike; ratios are taken
within rounds and told as median and quartiles. Measured apart: the views of a picture on one core, a step on a batch
whose views are there, and both together with loader workers: pictures per second, and the share of time spent waiting
for data. Lightly's views are made in the workers, picture by picture; ours in the step, all of a batch at once. Freed
memory is kept for the next step by both. Channels come last in ours, as in our training; lightly's steps are timed
both ways, in torch's default layout, which its users have, and with channels last.
NT-Xent of a large batch in rows is compared with all its logits at once: memory, and the gradient.

lightly is not needed; without it our own figures are told. It brings PyTorch Lightning along, so give it an environment
of its own: python -m venv lightly && lightly/bin/pip install -e '.[cpu]' lightly
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bench_figures
import numpy as np
import torch
from bench_figures import Figures, figure
from contenders import Contender, Ours, Plan, Theirs
from numpy.typing import NDArray
from rich.progress import track
from torch import Generator, Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from avssl import cli
from avssl.nn.contrast import ROWS, nt_xent
from avssl.train.machine import keep_memory

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("simclr", "byol", "mae")
PICTURES = 512
STEPS, VIEWED = 4, 64
"""steps, and pictures viewed, of each method in each round"""
WIDTH, TEMPERATURE = 64, 0.5
"""of the vectors of the large batch"""
TARGET, LEAST_MEMORY, SAME_GRADIENT = 0.9, 0.25, 1e-6
FAST = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512"}
"""flag of a processor -> what its bf16 is fast by, the faster first"""
LIGHTLY, LAST = "lightly", "lightly with channels last"


def pictures(count: int, side: int) -> NDArray[np.uint8]:
    """Smooth textures [N, 3, S, S], the same each time."""
    draw = np.random.default_rng(0)
    coarse = torch.from_numpy(draw.random((count, 3, 6, 6), np.float32))
    fine = nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (fine * 255).to(torch.uint8).numpy()


def timed(work: Callable[[], Any], plan: Plan) -> tuple[float, float]:
    """Wall seconds, CPU seconds of all threads; until the device is done."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    plan.wait()
    return time.perf_counter() - wall, time.process_time() - cpu


def together(one: Contender, steps: int, plan: Plan) -> tuple[float, float]:
    """Wall seconds of steps whose batches come from workers, and the share of them spent waiting."""
    waited, began = 0.0, time.perf_counter()
    source = one.stream(steps)
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(source)
        waited += time.perf_counter() - asked
        one.step(batch)
    plan.wait()
    spent = time.perf_counter() - began
    return spent, waited / spent


def measured(names: list[str], plan: Plan, rounds: int, lightly: bool) -> Figures:
    """Name -> figure. The first round starts workers and does not count."""
    x = pictures(max(PICTURES, plan.batch), plan.side)
    known: dict[tuple[str, str], Contender] = {}
    for name in names:
        ours = Ours(name, x, plan)
        known[name, "ours"] = ours
        if lightly:
            known[name, LIGHTLY] = Theirs(ours, name, x, plan)
            known[name, LAST] = Theirs(ours, name, x, plan, channels_last=True)
    batches = {key: one.ready() for key, one in known.items()}
    taken: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in track(range(rounds + 1), "rounds"):
        for key, one in sorted(known.items(), reverse=bool(turn % 2)):
            for what, seconds in spent(one, batches[key], plan, alone=key[1] == LAST).items():
                taken[key][what].append(seconds)
    for one in known.values():
        one.close()
    counted = {key: {what: np.array(values[1:]) for what, values in held.items()} for key, held in taken.items()}
    return {told: figure for name in names for told, figure in figures_of(name, counted)}


def spent(one: Contender, batch: Any, plan: Plan, alone: bool) -> dict[str, float]:
    """Seconds of a round's steps, and of its views unless the steps are timed ``alone``; its rate and waiting."""
    found = {}
    found["step wall"], found["step cpu"] = timed(lambda: [one.step(batch) for _ in range(STEPS)], plan)
    if not alone:
        found["views wall"], found["views cpu"] = timed(lambda: one.view(VIEWED), plan)
        seconds, found["waiting"] = together(one, STEPS, plan)
        found["rate"] = STEPS * plan.batch / seconds
    return found


def figures_of(
    name: str, counted: dict[tuple[str, str], dict[str, NDArray[np.float64]]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each figure of a method, ratios last."""
    held = {who: at for (one, who), at in counted.items() if one == name}
    for who, at in held.items():
        yield f"{name}: step, {who}", figure(at["step wall"] / STEPS * 1e3, "ms, wall")
        yield f"{name}: step, {who}, CPU", figure(at["step cpu"] / STEPS * 1e3, "ms, CPU")
        if "rate" in at:
            yield f"{name}: views of a picture, {who}", figure(at["views cpu"] / VIEWED * 1e3, "ms, CPU")
            yield f"{name}: views and steps, {who}", figure(at["rate"], "pictures/s")
            yield f"{name}: share of time waiting for data, {who}", figure(at["waiting"], "")
    if LIGHTLY not in held:
        return
    ours, theirs, wanted = held["ours"], held[LIGHTLY], f"<= {TARGET:g}"
    yield f"{name}: views, CPU, ours / lightly", figure(ours["views cpu"] / theirs["views cpu"], "x", wanted)
    yield f"{name}: step, wall, ours / lightly", figure(ours["step wall"] / theirs["step wall"], "x", wanted)
    yield f"{name}: step, CPU, ours / lightly", figure(ours["step cpu"] / theirs["step cpu"], "x")
    yield f"{name}: step, wall, ours / {LAST}", figure(ours["step wall"] / held[LAST]["step wall"], "x")
    yield f"{name}: views and steps, wall, ours / lightly", figure(theirs["rate"] / ours["rate"], "x", wanted)


def large(batch: int) -> tuple[Tensor, Tensor]:
    """Two views' unit vectors [B, D]."""
    draw = Generator().manual_seed(0)
    views = nn.functional.normalize(torch.randn(2, batch, WIDTH, generator=draw), dim=2)
    return views[0].requires_grad_(), views[1].requires_grad_()


def gradient(batch: int, rows: int) -> Tensor:
    """Of NT-Xent, [B, D]."""
    first, second = large(batch)
    return torch.autograd.grad(nt_xent(first, second, TEMPERATURE, torch.arange(batch), rows), first)[0]


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors made inside it that are alive at once: ``most``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                storage = one.untyped_storage()
                self._held[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._held = {key: held for key, held in self._held.items() if not held[0].expired()}
        self.most = max(self.most, sum(size for _, size in self._held.values()))
        return made


def memory(batch: int, rows: int) -> int:
    """Bytes of tensors that the loss and its gradient have alive at once, but for the vectors."""
    first, second = large(batch)
    alive = Alive()
    with alive:
        nt_xent(first, second, TEMPERATURE, torch.arange(batch), rows).backward()
    return alive.most


def loss_figures(batch: int) -> Figures:
    """What the loss of a large batch costs in rows and at once, and how far the gradients are apart."""
    taken = {rows: memory(batch, rows) for rows in (ROWS, 2 * batch)}
    parts, whole = gradient(batch, ROWS), gradient(batch, 2 * batch)
    apart = float((parts - whole).abs().max() / whole.abs().max())
    told = f"NT-Xent, batch {batch:,}"
    return {
        f"{told}: memory in {ROWS:,} rows": figure([taken[ROWS] / 1e6], "MB"),
        f"{told}: memory at once": figure([taken[2 * batch] / 1e6], "MB"),
        f"{told}: memory, in rows / at once": figure([taken[ROWS] / taken[2 * batch]], "x", f"<= {LEAST_MEMORY:g}"),
        f"{told}: gradients apart, of the greatest": figure([apart], "", f"<= {SAME_GRADIENT:g}"),
    }


def machine(threads: int, device: str) -> str:
    """What it was measured on; a processor's bf16 is fast by AMX, or by AVX-512."""
    flags = Path("/proc/cpuinfo")
    told = flags.read_text(encoding="utf-8") if flags.is_file() else ""
    more = [f"bf16 by {name}" for flag, name in FAST.items() if flag in told][:1]
    more += [torch.cuda.get_device_name(device)] if device.startswith("cuda") else []
    return bench_figures.machine(threads, *more)


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--side", type=int, default=64, help="pixels of a picture")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--workers", type=int, default=1, help="of the loaders")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of the steps and our views")
    parser.add_argument("--loss-batch", type=int, default=4096, help="pairs of the large contrastive batch")
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "methods_speed.jsonl", help="where it is kept")
    parser.add_argument("--quick", action="store_true", help="one small round, no row: whether it runs")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> Figures:
    """Measure, print, keep the row."""
    args = arguments(words)
    keep_memory()
    torch.set_num_threads(args.threads)
    lightly = importlib.util.find_spec("lightly") is not None
    if not lightly:
        print("lightly is not installed, so nothing to compare with (see --help); our own figures:")
    if args.quick:
        args.side, args.batch, args.rounds = 32, min(args.batch, 8), 1
    before = os.getloadavg()[0]
    plan = Plan(args.side, args.batch, args.precision, args.workers, args.device)
    figures = {**measured(args.only, plan, args.rounds, lightly), **loss_figures(args.loss_batch)}
    for name, told in figures.items():
        spread = f"({told['low']:.3g} to {told['high']:.3g})" if told["low"] != told["high"] else ""
        print(f"{name:58s} {told['value']:8.3g} {told['unit']:10s} {spread:20s} {told['target']}".rstrip())
    if args.quick:
        return figures
    beside = f"beside lightly {importlib.metadata.version('lightly')}" if lightly else "alone"
    told = f"batch {args.batch}, {args.precision}, {args.workers} workers, {args.rounds} rounds, {beside}"
    row = bench_figures.row(
        "methods_speed", machine(args.threads, args.device), before,
        size=args.side, width=args.side, vectors=told, figures=figures,
    )  # fmt: skip
    bench_figures.keep(args.rows, row)
    return figures


if __name__ == "__main__":
    cli.settle_threads()
    main()
