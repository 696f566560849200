"""Does each method learn? Every method, a few seeds, beside its own network untrained.

    python scripts/methods.py [--data DATA] [-o runs/methods] [--only simclr jigsaw] [--seeds 0 1]

Methods of sound and narration see the same 1,500 made-up clips; methods of pictures see 3,000 of CIFAR-10
(DATA/cifar10/cifar10.tar.gz, pictures as JPEG in class folders; Krizhevsky, 2009), for the things of the made-up world
have random colors and stand on random ground. All are judged on held-out recordings by `avssl evaluate`, methods of
pictures by a linear probe of their encoder too (`avssl probe`). What is done is not done again, so an interrupted
comparison goes on. A row per run is added to results/methods.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kept
from rich.console import Console
from rich.table import Table

from avssl import cli
from avssl.data.manifest import Manifest
from avssl.evaluation import evaluate
from avssl.train.checkpoint import load_run, replace_text

ROOT = Path(__file__).resolve().parent.parent
CLIPS = 1500
SMALL = ["inputs.height=32", "inputs.width=32"]
MOVING = ["inputs.frames=25", "inputs.fps=12.5", "encoders.video.time_stride=4"]
LENGTHS = {
    "ave_net": ["steps=900"], "avid": ["steps=200", *MOVING], "mil_nce": ["steps=250"],
    "dense_av": ["steps=150", "evaluate_every=0"], "simclr": ["steps=500", *SMALL],
    "jigsaw": ["steps=500", "inputs.height=48", "inputs.width=48"], "bigan": ["steps=2500", *SMALL],
}  # fmt: skip
"""method -> what is changed in its config: sizes of the pictures, how much of a clip's motion is seen, and lengths of
some two to five minutes on two cores"""
OF_PICTURES = ("simclr", "jigsaw", "bigan")
PER_CLASS = {"train": 300, "val": 20, "test": 80}


def command(*words: str | Path) -> None:
    """A command of avssl; one that fails ends the script with its exit code."""
    code = cli.run([str(word) for word in words])
    if code:
        sys.exit(code)


def made_world(out: Path) -> Path:
    """The world's manifest, made once."""
    listed = out / "world.jsonl"
    if not listed.is_file():
        command("world", "-o", out / "world", "--clips", str(CLIPS))
        command("manifest", out / "world" / "videos", "-o", listed, "--labels", out / "world" / "labels.tsv")
    return listed


def pictures(out: Path, data: Path, per_class: Mapping[str, int] = PER_CLASS) -> Path:
    """The manifest of a share of CIFAR-10, unpacked and listed once: pictures of each class in each split.

    Raises ValueError if it is not there.
    """
    listed, packed, folder = out / "pictures.jsonl", data / "cifar10" / "cifar10.tar.gz", out / "pictures"
    if listed.is_file():
        return listed
    if not packed.is_file():
        raise ValueError(f"{packed}: not there; methods of pictures are compared on CIFAR-10, see --data")
    chosen: dict[str, Path] = {}
    taken: Counter[tuple[str, str]] = Counter()
    with tarfile.open(packed) as archive:
        for member in sorted(one for one in archive.getnames() if one.endswith(".jpg")):
            half, kind, name = member.split("/")[-3:]
            split = "test" if half == "test" else "train" if taken["train", kind] < per_class["train"] else "val"
            if taken[split, kind] < per_class[split]:
                taken[split, kind] += 1
                chosen[member] = Path(split, kind, name)
    with tarfile.open(packed) as archive:  # in its own order: going back would unpack all before it again
        for held in archive:
            if held.name in chosen:
                path = folder / chosen[held.name]
                path.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(held)
                assert content is not None
                path.write_bytes(content.read())
    rows = [f"{path}\t{path.parts[0]}\t{path.parts[1]}\n" for path in chosen.values()]
    labels = out / "pictures.tsv"
    replace_text(labels, "path\tsplit\tkind\n" + "".join(rows))
    command("manifest", folder, "-o", listed, "--labels", labels)
    return listed


def row(out: Path, listed: Path, truth: Path | None, method: str, seed: int) -> dict[str, Any]:
    """Train one method with one seed, or go on, and judge it."""
    run, changes = out / f"{method}-{seed}", LENGTHS[method]
    command("train", method, f"data={listed}", f"seed={seed}", *changes, "-o", run)
    judged = evaluate(run, Manifest.load(listed), truth=truth)
    times = [json.loads(line).get("time", 0.0) for line in (run / "log.jsonl").read_text().splitlines()]
    return {
        "config": "methods", "method": method, "changes": changes, "digest": judged["digest"],
        "data": judged["manifest_digest"], "seed": seed, "steps": "as in the script", "split": judged["split"],
        "train_seconds": round(times[-1] - times[0]),
        **{name: {method: judged[name]} for name in ("retrieval", "localization") if name in judged},
        **({"linear_probe": {method: probed(run, listed, out / "probe.jsonl")}} if method in OF_PICTURES else {}),
    }  # fmt: skip


def probed(run: Path, listed: Path, kept: Path) -> dict[str, float]:
    """Accuracy of a linear probe of the encoder, trained and untrained, and of guessing."""
    command("probe", run, listed, "--label", "kind", "--how", "linear", "--rows", kept)
    digest = load_run(run).digest
    rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    answer = next(one for one in reversed(rows) if one["digest"] == digest)
    beside = {who: answer["beside"][who]["accuracy"] for who in ("untrained", "chance")}
    return {"trained": answer["accuracy"], **beside}


def show(rows: list[dict[str, Any]]) -> None:
    """nDCG@10 by kind, every direction of every run."""
    table = Table("method", "seed", "from, to", "trained", "untrained", "chance", box=None)
    for one in rows:
        for direction, figures in one["retrieval"].get(one["method"], {}).items():
            values = (f"{figures['ndcg10'][who]:.3f}" for who in ("trained", "untrained", "chance"))
            table.add_row(one["method"], str(one["seed"]), direction.replace("_to_", ", "), *values)
    Console().print(table)


def main() -> None:
    """Every method and seed that has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/methods"))
    parser.add_argument("--only", nargs="+", default=list(LENGTHS), choices=list(LENGTHS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AVSSL_DATA", "../shared/data")))
    parser.add_argument("--rows", type=Path, default=ROOT / "results" / "methods.jsonl", help="where rows are added")
    args = parser.parse_args()
    out: Path = args.output
    out.mkdir(parents=True, exist_ok=True)
    rows = kept.rows_of(args.rows)
    for seed in args.seeds:
        for method in args.only:
            if (method, seed, LENGTHS[method]) in [(one["method"], one["seed"], one["changes"]) for one in rows]:
                continue
            of_pictures = method in OF_PICTURES
            listed = pictures(out, args.data) if of_pictures else made_world(out)
            truth = None if of_pictures else out / "world" / "truth.jsonl"
            rows.append(row(out, listed, truth, method, seed))
            kept.keep(args.rows, rows)
    show([one for one in rows if one["method"] in args.only])


if __name__ == "__main__":
    cli.settle_threads()
    main()
