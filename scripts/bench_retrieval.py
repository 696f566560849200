"""The store and its indexes beside raw FAISS, on the same vectors, in one process.

    python scripts/bench_retrieval.py [--size 300000 2000000] [--vectors DIR] [--keep DIR] [--quick]

Contenders take turns in every round; a ratio is taken within rounds and told as median and quartiles. Seconds are CPU
seconds of all threads, so that a shared machine does not count, but where "wall" is said. FAISS Flat is the very
structure the exact index holds, one for each modality, asked without us; a direction searches one of them.
Queries are made like the stored vectors but are not among them. Hits count as read when recording, start, end and score
of each were; "as objects" when each was made a `Hit` with its words and columns.
`--vectors` takes a folder that `avssl embed` wrote; it holds few windows, so more are made of them: between a window
and one of its five nearest, the same way in every modality, with a little noise: differences between other windows and
their nearest, or, with --even-noise, as much in every direction, which fills some that no window of the network does
and is then all that tells one repeated text from the other. That is said in every row.
A row for each size goes to results/retrieval.jsonl, which `scripts/results.py` shows; a size that stands there is not
measured again unless with --again. With --keep, what was killed goes on after the last stage that was done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench_figures
import numpy as np
from bench_figures import Figures, figure, timed
from retrieval_figures import rounds, same, say, shown, steps
from retrieval_vectors import Clustered, Windows, rows_of

from retrieval import index as indexes
from retrieval.files import replacing
from retrieval.kinds import KINDS, import_faiss
from retrieval.nearest import Index
from retrieval.search import FIRST_WINDOWS, search
from retrieval.space import Space
from retrieval.store import Store

ROOT = Path(__file__).parents[1]
BLOCK, QUERIES, SINGLE, K = 50_000, 256, 24, 10
TIE = 1e-6  # single precision may order nearer scores either way
HALF = "start < 30"
faiss = import_faiss()


def add(store: Store, source: Any, count: int, first: int, seed: int) -> float:
    """Add so many vectors, the same number of each modality; CPU seconds in `Store.add` alone."""
    each, spent = count // len(source.modalities), 0.0
    for number in steps("adding", -(-each // BLOCK)):
        done = number * BLOCK
        some = min(BLOCK, each - done)
        for modality, vectors in zip(source.modalities, source.block(some, seed + done), strict=True):
            rows = list(rows_of(some, first + done, modality))
            start = time.process_time()
            store.add(vectors, rows)
            spent += time.process_time() - start
    return spent


def flat_search(exact: Index, queries: np.ndarray, modality: str | None = None, k: int = K) -> list[Any]:
    """FAISS Flat without us."""
    parts = [part for part in exact.parts if modality in (None, part.modality)]
    return [part.structure.search(queries, k) for part in parts]


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Share of the true nearest that were found, by scores, both [Q, K]; any of equally near ones counts."""
    return float(np.minimum((found >= true[:, -1:] - TIE).sum(axis=1), K).mean() / K)


def read(results: Any) -> None:
    """Which seconds of which recording, of every hit."""
    for hits in results:
        _ = hits.starts.tolist(), hits.ends.tolist(), hits.scores.tolist(), [name.recording for name in hits.names]


def as_objects(results: Any) -> None:
    """Every hit with all it says."""
    for hits in results:
        hits[:]


class Bench:
    """One size: stages that each give figures. What is measured is in `directory`, what was measured in its file."""

    def __init__(self, options: argparse.Namespace, size: int, source: Any, directory: Path) -> None:
        self.size, self.source, self.kinds, self.directory = size, source, options.kinds, directory
        self.times = 2 if options.quick else options.rounds
        each = size // len(source.modalities)  # what a direction searches
        self.large, self.usual = each >= 1_000_000, 100_000 <= each < 1_000_000
        self._loaded: dict[str, Index] = {}
        queries = source.block(QUERIES, seed=1)
        self.queries = dict(zip(source.modalities, queries, strict=True))
        self.asked = np.concatenate([vectors[: QUERIES // len(queries)] for vectors in queries])

    def measure(self) -> Figures:
        """All figures, those of stages that were done before too."""
        stages: dict[str, Callable[[], Figures]] = {"rows": self.rows, "exact": self.exact}
        for kind in self.kinds:
            stages[f"{kind}: build"] = lambda kind=kind: self.build(kind)
            stages[f"{kind}: search"] = lambda kind=kind: self.compare(kind)
        stages |= {"wrapper": self.wrapper, "adding 1 %": self.extend}
        done = self.directory.with_suffix(".json")
        told: dict[str, Figures] = json.loads(done.read_text(encoding="utf-8")) if done.is_file() else {}
        if "rows" not in told or not self.directory.is_dir():
            told = {}
            shutil.rmtree(self.directory, ignore_errors=True)
        with Store.create(self.directory, self.space) if not told else Store.open(self.directory) as self.store:
            whole = self.size // len(self.queries) * len(self.queries)
            if told and "adding 1 %" not in told and len(self.store) > whole:
                raise ValueError(f"{self.directory} was left while rows were added: delete it and measure again")
            for number, (name, stage) in enumerate(stages.items(), 1):
                say(f"{number} of {len(stages)}: {name}" + (", done before" if name in told else ""))
                if name not in told:
                    told[name] = stage()
                    with replacing(done) as partial:
                        partial.write_text(json.dumps(told), encoding="utf-8")
        return {name: value for figures in told.values() for name, value in figures.items()}

    @property
    def space(self) -> Space:
        """What the store is made with."""
        return Space("bench", "none", self.source.modalities, self.source.width)

    def index(self, kind: str) -> Index:
        """That of a kind, made by a stage before."""
        if kind not in self._loaded:
            self._loaded[kind] = indexes.load(self.store, kind)
        return self._loaded[kind]

    def rows(self) -> Figures:
        """Adding all of them, and opening what was made."""
        spent = add(self.store, self.source, self.size, 0, seed=100)
        say(f"{len(self.store):,} x {self.source.width}: {self.source.told}")
        opening = [timed(lambda: Store.open(self.directory).close())[1] for _ in range(5)]
        return {"adding all rows": figure(spent, "s"), "opening the store": figure(opening, "s", "<= 0.5")}

    def exact(self) -> Figures:
        """Building it, and the first answer of a store that was just opened, its files hashed."""
        self._loaded["exact"], seconds, _ = timed(lambda: indexes.build(self.store, "exact"))
        with Store.open(self.directory) as store:
            loaded, loading, _ = timed(lambda: indexes.load(store, "exact"))
            _, first, _ = timed(lambda: as_objects(search(store, loaded, self.asked[:1])))
        return {"exact: build": figure(seconds, "s"), "exact: load, hashing included": figure(loading, "s"),
                "exact: first search after that": figure(first, "s")}  # fmt: skip

    def build(self, kind: str) -> Figures:
        """An approximate index."""
        self._loaded[kind], seconds, wall = timed(lambda: indexes.build(self.store, kind))
        entry = indexes.find_entry(self.store, kind)
        for line in indexes.describe(entry):
            say(line)
        files = self.store.manifest["files"]
        size = sum(files[part["file"]]["bytes"] for part in entry["parts"]) / len(self.store)
        return {
            f"{kind}: build": figure(seconds, "s"),
            f"{kind}: build, wall": figure(wall, "s wall"),
            f"{kind}: build, wall, of a million": figure(1e6 * wall / len(self.store), "s wall", "<= 90"),
            f"{kind}: memory of each vector": figure([part["memory"] for part in entry["parts"]], "bytes"),
            f"{kind}: file, of each vector": figure(size, "bytes"),
        }

    def compare(self, kind: str) -> Figures:
        """An approximate kind beside Flat: recall of each direction, then speed."""
        exact, built, figures = self.index("exact"), self.index(kind), dict[str, dict[str, Any]]()
        for source, vectors in self.queries.items():
            for target in self.queries:
                ((scores, _),) = flat_search(exact, vectors, target)
                found = recall(built.nearest(vectors, K, modality=target, source=source)[0], scores)
                figures[f"{kind}: recall@10 {source} to {target}"] = figure(found, "", ">= 0.98")
        first = kind == self.kinds[0]  # what is chosen by itself; the others are for comparison
        batch = ">= 100" if self.large else ">= 10" if self.usual else ""
        single = ">= 50" if self.usual else ""
        directions = [(source, target) for source in self.queries for target in self.queries]
        for source, target in [("", None), *directions]:
            count = sum(part.count for part in exact.parts if target in (None, part.modality))
            name = f"{source} to {target}" if target else "mixed queries to all"
            name += f" ({count:,})"
            aims = (batch, single) if first and target else ("", "")
            asked = self.queries[source] if source else self.asked
            contenders: dict[str, Callable[[np.ndarray], object]] = {
                "flat": lambda vectors, target=target: flat_search(exact, vectors, target),
                "ours": lambda vectors, target=target, source=source: built.nearest(
                    vectors, K, modality=target, source=source
                ),
            }
            taken = self.batch(name, contenders, asked)
            figures[f"{kind}: batch, {name}, times Flat"] = figure(taken["flat"] / taken["ours"], "x", aims[0])
            figures[f"{kind}: batch, {name}"] = figure(len(asked) / taken["ours"], "queries/CPU s")
            taken = self.single(name, contenders, asked)
            figures[f"{kind}: single, {name}, times Flat"] = figure(taken["flat"] / taken["ours"], "x", aims[1])
            figures[f"{kind}: single, {name}"] = figure(1e3 * taken["ours"] / SINGLE, "ms")
        return figures

    def batch(
        self, name: str, contenders: dict[str, Callable[[np.ndarray], object]], asked: np.ndarray
    ) -> dict[str, np.ndarray]:
        """CPU seconds of all queries together."""
        runs = {key: lambda run=run: run(asked) for key, run in contenders.items()}
        return rounds(f"batch, {name}", runs, self.times)

    def single(
        self, name: str, contenders: dict[str, Callable[[np.ndarray], object]], asked: np.ndarray
    ) -> dict[str, np.ndarray]:
        """CPU seconds of some queries, one after the other."""
        ones = [asked[[number * len(asked) // SINGLE]] for number in range(SINGLE)]
        runs = {key: lambda run=run: [run(one) for one in ones] for key, run in contenders.items()}
        return rounds(f"single, {name}", runs, self.times)

    def wrapper(self) -> Figures:
        """What ids, rows, filters, merging and the order of ties cost on top of the search."""
        store, figures, wide = self.store, dict[str, dict[str, Any]](), K * FIRST_WINDOWS
        exact, built = self.index("exact"), self.index(self.kinds[0])
        half = store.ids(HALF)
        plain: dict[str, tuple[Index, Callable[[np.ndarray, int], object]]] = {
            "FAISS Flat": (exact, lambda vectors, k: flat_search(exact, vectors, None, k)),
            f"{built.kind} alone": (built, lambda vectors, k: built.nearest(vectors, k)),
        }
        for name, (index, raw) in plain.items():
            contenders: dict[str, Callable[[np.ndarray], object]] = {
                "raw": lambda vectors, raw=raw: raw(vectors, K),
                "ours": lambda vectors, index=index: read(search(store, index, vectors)),
                "objects": lambda vectors, index=index: as_objects(search(store, index, vectors)),
                "wide": lambda vectors, raw=raw: raw(vectors, wide),
                "moments": lambda vectors, index=index: read(search(store, index, vectors, merge_seconds=0.5)),
                "chosen": lambda vectors, index=index: index.nearest(vectors, K, only=half),
                "filter": lambda vectors, index=index: read(search(store, index, vectors, where=HALF)),
            }
            taken, most = self.batch(f"search over {name}", contenders, self.asked), "<= 0.10"
            pairs = (
                ("hits read", "ours", "raw", most), ("as objects", "objects", "raw", ""),
                ("joined to moments", "moments", "wide", most), ("half filtered out", "filter", "chosen", most),
            )  # fmt: skip
            for what, ours, theirs, target in pairs:
                more = taken[ours] / taken[theirs] - 1
                figures[f"search over {name}: batch, {what}, share more"] = figure(more, "", target)
            alone = {key: contenders[key] for key in ("raw", "objects")}
            taken = self.single(f"search over {name}", alone, self.asked)
            more = 1e3 * (taken["objects"] - taken["raw"]) / SINGLE
            figures[f"search over {name}: single, as objects, more"] = figure(more, "ms", "<= 1")
        runs: dict[str, Callable[[np.ndarray], object]] = {
            "raw": lambda vectors: flat_search(exact, vectors),
            "ours": lambda vectors: exact.nearest(vectors, K),
        }
        taken = self.batch("exact index", runs, self.asked)
        figures["exact index, times FAISS Flat"] = figure(taken["raw"] / taken["ours"], "x", ">= 0.95")
        return figures

    def extend(self) -> Figures:
        """1 % more rows, in the store and in the index."""
        first, name = self.index(self.kinds[0]), f"{self.kinds[0]}: build"
        told = json.loads(self.directory.with_suffix(".json").read_text(encoding="utf-8"))
        stored = add(self.store, self.source, max(2, self.size // 100), self.size, seed=7)
        extended, seconds, _ = timed(lambda: indexes.extend(self.store, first))
        assert len(indexes.load(self.store, first.kind)) == len(extended) == len(self.store)
        return {
            "adding 1 % to the index, share of building it": figure(seconds / told[name][name]["value"], "", "<= 0.02"),
            "adding 1 % to store and index": figure(stored + seconds, "s"),
        }


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", type=int, nargs="+", default=[300_000], help="vectors in the store, all modalities together"
    )
    parser.add_argument("--width", type=int, default=512, help="of the vectors; trained ones are turned into it")
    parser.add_argument("--vectors", type=Path, help="a folder that avssl embed wrote")
    parser.add_argument("--even-noise", action="store_true", help="what is added to those vectors is alike everywhere")
    parser.add_argument("--modalities", nargs="+", help="of those vectors; all of them unless given")
    parser.add_argument(
        "--kinds", nargs="+", default=["ivf-fp16", "ivf-sq8", "ivf-pq4"], choices=[k for k in KINDS if k != "exact"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--quick", action="store_true", help="20,000 vectors, two rounds, no row: whether it runs")
    parser.add_argument("--keep", type=Path, help="a folder for the stores: what is killed goes on, nothing is deleted")
    parser.add_argument("--again", action="store_true", help="measure sizes that have their row already")
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "retrieval.jsonl")
    options = parser.parse_args()
    if options.quick:
        options.size = [min(20_000, *options.size)]
    faiss.omp_set_num_threads(options.threads)
    try:
        source: Any = Clustered(options.width)
        if options.vectors:
            source = Windows(options.vectors, options.width, options.modalities, options.even_noise)
        for size in options.size:
            known = options.rows.read_text(encoding="utf-8").splitlines() if options.rows.is_file() else []
            wanted = [size, source.width, source.told]
            if not (options.quick or options.again) and any(same(json.loads(line)) == wanted for line in known if line):
                say(f"{size:,} x {source.width}, {source.told}: measured already, in {options.rows}; --again")
                continue
            row = measured(options, size, source)
            print("\n".join(shown(row)), flush=True)
            if not options.quick:
                bench_figures.keep(options.rows, row, lambda other, wanted=wanted: same(other) == wanted)
    except ValueError as error:
        sys.exit(f"bench_retrieval: {error}")


def measured(options: argparse.Namespace, size: int, source: Any) -> dict[str, Any]:
    """The row of one size."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        name = f"{size}-{source.width}-{hashlib.sha256(source.told.encode()).hexdigest()[:8]}"
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
        figures = Bench(options, size, source, (options.keep or Path(folder)) / name).measure()
    machine = bench_figures.machine(options.threads, f"FAISS {faiss.__version__}")
    told = {"vectors": source.told, "size": size, "width": source.width, "figures": figures}
    return bench_figures.row("retrieval", machine, before, **told)


if __name__ == "__main__":
    main()
