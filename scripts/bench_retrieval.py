"""The store and its indexes beside raw FAISS, on the same vectors, in one process.

    python scripts/bench_retrieval.py [--size 100000] [--vectors DIR] [--kinds ivf-pq4 ivf-sq8] [--rows FILE] [--quick]

Contenders take turns in every round; a ratio is taken within rounds and told as median and quartiles. Seconds are CPU
seconds of all threads, so that a shared machine does not count, but where "wall" is said. FAISS Flat is the very
structure the exact index holds, one for each modality, asked without us; over all vectors it is the sum of these.
Queries are made like the stored vectors but are not among them.
`--vectors` takes a folder that `avssl embed` wrote; it holds few windows, so more are made of them: between a window
and one of its five nearest, the same way in every modality, with a little noise. That is said in every row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from retrieval import index as indexes
from retrieval.kinds import KINDS, import_faiss
from retrieval.nearest import Index
from retrieval.search import search
from retrieval.space import Space
from retrieval.store import Store

BLOCK, QUERIES, SINGLE, K = 50_000, 256, 24, 10
Figures = dict[str, dict[str, Any]]
faiss = import_faiss()


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Clustered:
    """Made-up windows: a kind's center and the window's own part, then for each modality a shift of its own and noise.
    The spectrum falls so that the effective rank is 12, which is what the trained made-up world has."""

    told = "clustered, made up"
    modalities = ("video", "audio")

    def __init__(self, width: int) -> None:
        self.width = width
        random = np.random.default_rng(0)
        self.scale = (1.0 + np.arange(width, dtype=np.float32)) ** -0.6
        self.turn = np.linalg.qr(random.standard_normal((width, width)))[0].astype(np.float32)
        self.centers = (random.standard_normal((1000, width)) * self.scale).astype(np.float32)
        self.shifts = (0.5 * random.standard_normal((2, width)) * self.scale).astype(np.float32)

    def block(self, count: int, seed: int) -> list[np.ndarray]:
        """Unit vectors of so many windows, [count, width] for each modality."""
        random = np.random.default_rng(seed)
        own = 0.7 * random.standard_normal((count, self.width), np.float32) * self.scale
        meant = self.centers[random.integers(len(self.centers), size=count)] + own
        noise = (0.3 * random.standard_normal((count, self.width), np.float32) * self.scale for _ in self.shifts)
        return [unit((meant + shift + some) @ self.turn) for shift, some in zip(self.shifts, noise, strict=True)]


class Windows:
    """A trained network's windows, and more between them."""

    def __init__(self, folder: Path, width: int) -> None:
        paths = sorted(folder.rglob("vectors-*.npy"))
        if not paths:
            raise ValueError(f"{folder} holds no vectors-MODALITY.npy; avssl embed writes them")
        held: dict[str, list[np.ndarray]] = {}
        for path in paths:
            held.setdefault(path.stem.removeprefix("vectors-"), []).append(np.load(path))
        joined = {name: np.concatenate(parts).astype(np.float32) for name, parts in held.items()}
        most = max(map(len, joined.values()))
        # Only modalities that every window has stay aligned row by row.
        held = {name: vectors for name, vectors in joined.items() if len(vectors) == most}
        self.modalities, self.width = tuple(held), width
        own = next(iter(held.values())).shape[1]
        if own > width:
            raise ValueError(f"the vectors of {folder} have width {own}; ask for --width {own} or more")
        # FAISS's products are slow at some widths, which would flatter us; turning changes no inner product.
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((width, own)))[0].T.astype(np.float32)
        self.held = {name: unit(vectors @ turn) for name, vectors in held.items()}
        together = np.concatenate(list(self.held.values()), axis=1)
        self.near = np.argsort(-(together @ together.T), axis=1)[:, 1:6]
        self.told = f"{most} windows of a trained network (width {own}), enlarged between neighbours"

    def block(self, count: int, seed: int) -> list[np.ndarray]:
        """Unit vectors of so many windows, [count, width] for each modality."""
        random = np.random.default_rng(seed)
        one = random.integers(len(self.near), size=count)
        other = self.near[one, random.integers(5, size=count)]
        weight = random.uniform(0, 0.5, (count, 1)).astype(np.float32)
        return [
            unit(
                (1 - weight) * vectors[one]
                + weight * vectors[other]
                + random.normal(0, 0.1 / self.width**0.5, (count, self.width)).astype(np.float32)
            )
            for vectors in self.held.values()
        ]


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def rows_of(count: int, first: int, modality: str) -> Iterator[dict[str, Any]]:
    for number in range(first, first + count):
        recording, start = f"r{number // 60}", float(number % 60)
        yield {
            "recording": recording,
            "path": f"{recording}.mp4",
            "start": start,
            "end": start + 2,
            "modality": modality,
        }


def add(store: Store, source: Any, count: int, first: int, seed: int) -> float:
    """Add so many vectors, the same number of each modality; CPU seconds in `Store.add` alone."""
    each, spent, done = count // len(source.modalities), 0.0, 0
    while done < each:
        some = min(BLOCK, each - done)
        for modality, vectors in zip(source.modalities, source.block(some, seed + done), strict=True):
            rows = list(rows_of(some, first + done, modality))
            start = time.process_time()
            store.add(vectors, rows)
            spent += time.process_time() - start
        done += some
    return spent


def rounds(contenders: dict[str, Callable[[], object]], count: int) -> dict[str, np.ndarray]:
    """CPU seconds of each in each round, after one that warms up."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(count + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            if number:
                taken[name].append(time.process_time() - start)
    return {name: np.array(times) for name, times in taken.items()}


def figure(values: Any, unit_name: str, target: str = "") -> dict[str, Any]:
    low, middle, high = np.percentile(np.atleast_1d(values), (25, 50, 75)).tolist()
    return {"value": middle, "low": low, "high": high, "unit": unit_name, "target": target}


def flat_search(exact: Index, queries: np.ndarray, modality: str | None = None) -> list[Any]:
    """FAISS Flat without us."""
    parts = [part for part in exact.parts if modality in (None, part.modality)]
    return [part.structure.search(queries, K) for part in parts]


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(found, true, strict=True)]))


def compare(exact: Index, built: Index, queries: dict[str, np.ndarray], times: int, wanted: dict[str, str]) -> Figures:
    """One approximate kind beside Flat: recall of each direction, then speed."""
    kind, figures = built.kind, {}
    for source, vectors in queries.items():
        for target in queries:
            ((_, true),) = flat_search(exact, vectors, target)
            found = recall(built.nearest(vectors, K, modality=target)[1], true)
            figures[f"{kind}: recall@10 {source} to {target}"] = figure(found, "", ">= 0.98")
    asked = np.concatenate([vectors[: QUERIES // len(queries)] for vectors in queries.values()])
    singles = [asked[[number]] for number in range(0, len(asked), len(asked) // SINGLE)]
    for modality in (None, *queries):
        name = (
            f"{sum(part.count for part in exact.parts if modality in (None, part.modality)):,} {modality or 'of all'}"
        )
        taken = rounds(
            {
                "flat": lambda modality=modality: flat_search(exact, asked, modality),
                "ours": lambda modality=modality: built.nearest(asked, K, modality=modality),
            },
            times,
        )
        figures[f"{kind}: batch, {name}, times Flat"] = figure(taken["flat"] / taken["ours"], "x", wanted["batch"])
        figures[f"{kind}: batch, {name}"] = figure(len(asked) / taken["ours"], "queries/CPU s")
        taken = rounds(
            {
                "flat": lambda modality=modality: [flat_search(exact, one, modality) for one in singles],
                "ours": lambda modality=modality: [built.nearest(one, K, modality=modality) for one in singles],
            },
            times,
        )
        figures[f"{kind}: single, {name}, times Flat"] = figure(taken["flat"] / taken["ours"], "x", wanted["single"])
        figures[f"{kind}: single, {name}"] = figure(1e3 * taken["ours"] / len(singles), "ms")
    return figures


def wrapper(store: Store, exact: Index, built: Index, queries: dict[str, np.ndarray], times: int) -> Figures:
    """What ids, rows and the order of ties cost on top of the search."""
    asked = np.concatenate([vectors[: QUERIES // len(queries)] for vectors in queries.values()])
    singles = [asked[[number]] for number in range(0, len(asked), len(asked) // SINGLE)]
    figures: Figures = {}
    plain: dict[str, tuple[Index, Callable[[np.ndarray], object]]] = {
        "FAISS Flat": (exact, lambda vectors: flat_search(exact, vectors)),
        f"{built.kind} alone": (built, lambda vectors: built.nearest(vectors, K + 1)),
    }
    for name, (index, raw) in plain.items():
        taken = rounds(
            {"raw": lambda raw=raw: raw(asked), "ours": lambda index=index: search(store, index, asked)}, times
        )
        figures[f"search over {name}: batch, share more"] = figure(taken["ours"] / taken["raw"] - 1, "", "<= 0.10")
        taken = rounds(
            {
                "raw": lambda raw=raw: [raw(one) for one in singles],
                "ours": lambda index=index: [search(store, index, one) for one in singles],
            },
            times,
        )
        more = 1e3 * (taken["ours"] - taken["raw"]) / len(singles)
        figures[f"search over {name}: single, more"] = figure(more, "ms", "<= 1 ms")
    taken = rounds({"raw": lambda: flat_search(exact, asked), "ours": lambda: exact.nearest(asked, K)}, times)
    figures["exact index, times FAISS Flat"] = figure(taken["raw"] / taken["ours"], "x", ">= 0.95")
    return figures


def timed(what: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, CPU seconds, wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = what()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def measure(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    source = Windows(options.vectors, options.width) if options.vectors else Clustered(options.width)
    large, times = options.size >= 1_000_000, 2 if options.quick else options.rounds
    wanted = {"batch": ">= 100x" if large else ">= 10x", "single": "" if large else ">= 50x"}
    figures: Figures = {}
    with Store.create(directory, Space("bench", "none", source.modalities, source.width)) as store:
        figures["adding all rows"] = figure(add(store, source, options.size, 0, seed=100), "s")
        say(f"{len(store):,} x {source.width} added: {source.told}")
        figures["opening the store"] = figure(
            [timed(lambda: Store.open(directory).close())[1] for _ in range(5)], "s", "<= 0.5 s"
        )
        exact, seconds, _ = timed(lambda: indexes.build(store, "exact"))
        figures["exact: build"] = figure(seconds, "s")
        queries = dict(zip(source.modalities, source.block(QUERIES, seed=1), strict=True))
        for kind in options.kinds:
            built, seconds, wall = timed(lambda kind=kind: indexes.build(store, kind))
            figures[f"{kind}: build"] = figure(seconds, "s")
            figures[f"{kind}: build, wall"] = figure(wall, "s wall", "<= 90 s" if large else "")
            entry = indexes.find_entry(store, kind)
            for line in indexes.describe(entry):
                say(line)
            size = sum(store.manifest["files"][part["file"]]["bytes"] for part in entry["parts"]) / len(store)
            figures[f"{kind}: memory of each vector"] = figure([part["memory"] for part in entry["parts"]], "bytes")
            figures[f"{kind}: file, of each vector"] = figure(size, "bytes")
            figures |= compare(exact, built, queries, times, wanted)
            if kind == options.kinds[0]:
                first, rebuild = built, seconds
        say("wrapper")
        figures |= wrapper(store, exact, first, queries, times)
        say("adding 1 %")
        stored = add(store, source, max(2, options.size // 100), options.size, seed=7)
        extended, seconds, _ = timed(lambda: indexes.extend(store, first))
        figures["adding 1 % to the index, share of building it"] = figure(seconds / rebuild, "", "<= 0.02")
        figures["adding 1 % to store and index"] = figure(stored + seconds, "s")
        loaded, seconds, _ = timed(lambda: indexes.load(store, first.kind))
        figures[f"{first.kind}: load, hashing included"] = figure(seconds, "s")
        assert len(loaded) == len(extended) == len(store)
    return {"vectors": source.told, "size": options.size, "width": source.width, "figures": figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100_000, help="vectors in the store, all modalities together")
    parser.add_argument("--width", type=int, default=512, help="of the vectors; trained ones are turned into it")
    parser.add_argument("--vectors", type=Path, help="a folder that avssl embed wrote")
    parser.add_argument(
        "--kinds", nargs="+", default=["ivf-pq4", "ivf-sq8"], choices=[k for k in KINDS if k != "exact"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--quick", action="store_true", help="20,000 vectors and two rounds: whether it runs")
    parser.add_argument("--rows", type=Path, help="append what was measured to this file, for scripts/results.py")
    options = parser.parse_args()
    if options.quick:
        options.size = min(options.size, 20_000)
    faiss.omp_set_num_threads(options.threads)
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        try:
            row = measure(options, Path(folder) / "store")
        except ValueError as error:
            sys.exit(f"bench_retrieval: {error}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, FAISS {faiss.__version__}"
    load = [round(before, 1), round(os.getloadavg()[0], 1)]
    row = {"benchmark": "retrieval", "machine": machine, "load": load, "date": time.strftime("%Y-%m-%d"), **row}
    print(f"\n{row['size']:,} x {row['width']}, {row['vectors']}; {machine}; load {load[0]} before, {load[1]} after")
    for name, told in row["figures"].items():
        spread = f"{told['value']:10.4g} {told['unit']:<10} [{told['low']:.4g} .. {told['high']:.4g}]"
        print(f"{name:<52} {spread:<44} {told['target']}")
    if options.rows is not None:
        with open(options.rows, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
