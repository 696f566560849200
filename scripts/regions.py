"""Does the index tell where in the picture it is as well as the localizer does? On clips whose truth is known.

    python scripts/regions.py runs/demo/run runs/demo/world.jsonl [--truth runs/demo/world/truth.jsonl] [--split test]

Every held-out clip goes into an index with its regions. Then each clip's own sound (where one visible thing makes it)
and each phrase about something visible is searched for, as avssl search does; the box of the hit in the right recording
is judged by the world's truth: is its middle inside the thing, and how much do the two overlap. Beside it the box of
the localizer's own map, made from the pictures and the sound of the same window; boxes in the middle and at random, as
large as things are in validation clips; and the truth on the map's cells, the most that a map can tell.
An interrupted run goes on; a row is added to results/regions.jsonl.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import kept
import numpy as np
import torch
from numpy.typing import NDArray
from region_figures import FOUND_AMONG, Row, blind, figures
from rich.console import Console
from rich.table import Table

from avssl.cli._counting import counting
from avssl.data.manifest import Manifest
from avssl.embedding import Embedder, embed_recordings, query
from avssl.embedding.regions import Span, embed_regions, places_of, seeks, sought
from avssl.evaluation.judged import SINGLE
from avssl.evaluation.maps import read_truth
from avssl.localize import calibration
from avssl.train.build import Loaded
from avssl.train.checkpoint import load_run, replace_text
from retrieval import index as indexes
from retrieval.boxes import box_of
from retrieval.moments import Box, Hit, as_one
from retrieval.query import Query, Term
from retrieval.regions import COMPONENTS, KIND, Regions, add_regions, locate
from retrieval.search import search
from retrieval.space import Space
from retrieval.store import Store

ROOT = Path(__file__).resolve().parent.parent
Boxes = NDArray[np.float64]


class Asked(NamedTuple):
    """What is searched for: ``value`` is a text, or a file whose sound is meant; it is about one thing of a clip.

    ``boxes``: of that thing at each picture [K, 4], fractions; none for a sound that nothing in the picture makes.
    """

    name: str
    recording: str
    kind: str
    value: str
    case: str
    fps: float
    boxes: Boxes

    def truth(self, start: float, seconds: float) -> Box:
        """The box that holds the thing over a window."""
        held = self.boxes[round(start * self.fps) : max(1, round((start + seconds) * self.fps))]
        return float(held[:, 0].min()), float(held[:, 1].min()), float(held[:, 2].max()), float(held[:, 3].max())


def asked_of(manifest: Manifest, split: str, truth: Path, kinds: tuple[str, ...]) -> list[Asked]:
    """Everything that is asked about the clips of a split."""
    known = read_truth(truth)
    spoken = {one["id"]: one["narration"] for one in map(json.loads, truth.read_text(encoding="utf-8").splitlines())}
    found = []
    for recording in manifest.split(split):
        stem = Path(recording.path).stem
        if stem not in known:
            continue
        clip, none = known[stem], np.empty((0, 4))
        seen = {thing["kind"]: np.asarray(thing["boxes"], np.float64) for thing in clip["things"]}
        about = (recording.key, str(manifest.path_of(recording)), str(clip["case"]), float(clip["fps"]))
        key, path, case, fps = about
        if "audio" in kinds and case in (*SINGLE, "offscreen"):
            boxes = seen[clip["kinds"][0]] if case in SINGLE else none
            found.append(Asked(f"{key} sound", key, "audio", path, case, fps, boxes))
        for text, kind in {said["text"]: said["kind"] for said in spoken[stem]}.items() if "text" in kinds else ():
            if kind in seen:
                found.append(Asked(f"{key} {text}", key, "text", text, case, fps, seen[kind]))
    return sorted(found, key=lambda one: one.kind)


def stored(folder: Path, embedder: Embedder, digest: str, manifest: Manifest, split: str, components: int) -> Store:
    """The pictures of a split in a store with an index and regions, made unless it is there."""
    if (folder / "manifest.json").is_file():
        store = Store.open(folder)
        if store.sides(KIND):  # what is made last
            return store
        store.close()
    shutil.rmtree(folder, ignore_errors=True)
    with counting("recordings embedded") as tell:
        made = embed_recordings(embedder, manifest, modalities=["video"], split=split, progress=tell)
    store = Store.create(folder, Space(embedder.space_name, digest, embedder.modalities, embedder.width))
    store.add(made.vectors["video"], made.rows["video"])
    indexes.build(store)
    spans = [Span(row.id, Path(row.path), row.start) for row in store.rows(store.ids())]
    with counting("windows with regions") as tell:
        add_regions(store, embed_regions(embedder, spans, tell), components)
    return store


class Judge:
    """One network with its index of a split."""

    def __init__(self, embedder: Embedder, store: Store, thresholds: dict[str, float]):
        self.embedder, self.store, self.thresholds = embedder, store, thresholds
        self.index, self.regions = indexes.load(store), Regions(store)

    def row(self, one: Asked) -> Row:
        """What the index says of one thing that is asked, and what the localizer says of the same window."""
        queries = [Query([Term(vector, 1.0, one.kind)]) for vector in query(self.embedder, one.kind, one.value)]
        names = [hit.recording for hit in self._hits(queries, FOUND_AMONG, None)]
        (hit,) = self._hits(queries, 1, one.recording)
        vectors = sought(self.embedder, one.kind, one.value)
        assert vectors is not None
        threshold = self.thresholds.get(one.kind)
        whole, own = self._maps(one, hit, vectors)
        lit = None if threshold is None else locate(self.store, self.regions, [hit], vectors, threshold)[0].box
        seconds = self.embedder.window.seconds
        return {
            "name": one.name, "kind": one.kind, "case": one.case, "start": hit.peak,
            "rank": names.index(one.recording) + 1 if one.recording in names else None,
            "truth": one.truth(hit.peak, seconds) if len(one.boxes) else None,
            "index": locate(self.store, self.regions, [hit], vectors)[0].box,
            "localizer": _box(own), "uncompressed": _box(whole),
            "lit": None if threshold is None else [lit is not None, box_of(own, threshold) is not None],
        }  # fmt: skip

    def _hits(self, queries: list[Query], most: int, recording: str | None) -> list[Hit]:
        where = None if recording is None else ("recording = ?", [recording])
        found = search(self.store, self.index, queries, k=most, modality="video", where=where, merge_seconds=1e-3)
        return as_one(found, most, join=True)

    @torch.inference_mode()
    def _maps(self, one: Asked, hit: Hit, vectors: NDArray[np.float32]) -> tuple[Boxes, Boxes]:
        """Maps [h, w] of the hit's window: by all of what its places show, and the localizer's own."""
        window, inputs, method = self.embedder.window, self.embedder.inputs, self.embedder.method
        clips = window.read(Path(hit.path), [hit.peak], video=True, audio=one.kind == "audio")
        assert clips.video is not None
        if one.kind == "text":
            heard = inputs.tokens([one.value])
        else:
            assert clips.audio is not None
            heard = inputs.audio(clips.audio)
        maps = method.localize(clips.video, heard, one.kind).mean(1)[0]  # type: ignore[operator]
        places = places_of(self.embedder).places(clips.video)[0].double().numpy()
        whole = [places @ one for one in vectors.astype(np.float64)]
        return max(whole, key=lambda scores: float(scores.max())), maps.double().numpy()


def _box(scores: Boxes) -> Box:
    found = box_of(scores)
    assert found is not None  # without a threshold there is always one
    return found.box


def judged(loaded: Loaded, manifest: Manifest, wanted: list[Asked], args: argparse.Namespace, who: str) -> list[Row]:
    """All that is asked, by one network; what was asked before is read from OUT."""
    folder = args.output / f"{loaded.digest[:12]}-{args.split}-{args.components}"
    embedder = Embedder(loaded.method, loaded.inputs)
    scales = {kind: calibration.stored(args.run, loaded.digest, kind) for kind in calibration.KINDS}
    thresholds = {kind: scale.threshold for kind, scale in scales.items() if scale is not None}
    path = folder.with_suffix(".jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    with stored(folder, embedder, loaded.digest, manifest, args.split, args.components) as store:
        judge = Judge(embedder, store, thresholds)
        with counting(f"asked of the {who} network") as tell:
            for number in range(len(rows), len(wanted)):
                rows.append(judge.row(wanted[number]))
                replace_text(path, "".join(json.dumps(row) + "\n" for row in rows))
                tell(number + 1, len(wanted))
    return rows


def measured(args: argparse.Namespace) -> Row:
    """The row of one run."""
    manifest = Manifest.load(args.manifest)
    networks = {who: load_run(args.run, trained=who == "trained") for who in ("trained", "untrained")}
    trained = networks["trained"]
    embedder = Embedder(trained.method, trained.inputs)
    places_of(embedder)
    kinds = tuple(kind for kind in calibration.KINDS if seeks(embedder, kind))
    wanted = asked_of(manifest, args.split, args.truth, kinds)
    if not any(len(one.boxes) for one in wanted):
        raise ValueError(f"{args.truth} knows nothing of the {args.split} clips of {args.manifest}")
    before = asked_of(manifest, "val", args.truth, kinds)
    clip = torch.zeros(1, embedder.window.frames, 3, trained.inputs.cfg.height, trained.inputs.cfg.width)
    with torch.inference_mode():
        cells = tuple(embedder.method.places(clip.to(torch.uint8)).shape[1:3])  # type: ignore[operator]
    rows = {who: judged(loaded, manifest, wanted, args, who) for who, loaded in networks.items()}
    tree = {}
    for kind in kinds:
        columns = {who: [row for row in held if row["kind"] == kind] for who, held in rows.items()}
        truths = [tuple(row["truth"]) for row in columns["trained"] if row["truth"] is not None]
        sizes = [one.boxes[:, 2:] - one.boxes[:, :2] for one in before if one.kind == kind and len(one.boxes)]
        width, height = np.concatenate(sizes).mean(axis=0).tolist()
        tree[kind] = figures(columns, blind(truths, (width, height), cells, args.seed))
    counts = {kind: sum(one.kind == kind and len(one.boxes) > 0 for one in wanted) for kind in kinds}
    return key(args, trained.digest) | {
        "method": trained.cfg.method.name, "data": manifest.digest(), "steps": trained.step, "cells": list(cells),
        "asked": counts, "regions": tree,
    }  # fmt: skip


def key(args: argparse.Namespace, digest: str) -> Row:
    """By which a row is known."""
    return {
        "config": "regions",
        "digest": digest,
        "seed": args.seed,
        "split": args.split,
        "components": args.components,
    }


def show(row: Row) -> None:
    """The table of a row."""
    for kind, tree in row["regions"].items():
        names = ("trained", "low", "high", "untrained", "center", "random", "oracle")
        table = Table(f"{kind}: {row['asked'][kind]} asked", *names, box=None, pad_edge=False)
        for name, held in tree.items():
            table.add_row(name.replace("_", " "), *[f"{held[who]:.3f}" if who in held else "" for who in names])
        Console().print(table)


def main(words: list[str] | None = None) -> None:
    """One run's row, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path, help="of a made-up world")
    parser.add_argument("--truth", type=Path, help="its truth.jsonl; beside the manifest, in world/, unless given")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--components", type=int, default=COMPONENTS, help="bytes kept for each cell")
    parser.add_argument("--seed", type=int, default=0, help="of the random boxes")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/regions"))
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "regions.jsonl", help="where the row is added")
    args = parser.parse_args(words)
    args.truth = args.truth or args.manifest.parent / "world" / "truth.jsonl"
    args.output.mkdir(parents=True, exist_ok=True)
    rows = kept.rows_of(args.rows)
    wanted = key(args, load_run(args.run).digest)
    row = next((one for one in rows if wanted.items() <= one.items()), None)
    if row is None:
        row = measured(args)
        args.rows.parent.mkdir(exist_ok=True)
        replace_text(args.rows, "".join(json.dumps(one) + "\n" for one in [*rows, row]))
    show(row)


if __name__ == "__main__":
    kept.start(main)
