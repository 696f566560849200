"""The main job on data it makes itself: world, manifest, training, search, localization, report.

    python scripts/demo.py [-o runs/demo] [--clips 1500] [--steps N] [--seed 0]

Every stage is the command a user would type, and is printed before it runs. A stage that is done is not done again,
so that an interrupted demo goes on. The figures are in OUT/results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from avssl import cli
from avssl.data.manifest import Manifest
from avssl.train.checkpoint import replace_text

ROOT = Path(__file__).resolve().parent.parent


class Stages:
    """Runs commands of avssl, prints them, keeps the seconds of each, and passes over those that are done."""

    def __init__(self, out: Path):
        self.file = out / "stages.json"
        self.seconds: dict[str, float] = json.loads(self.file.read_text()) if self.file.is_file() else {}

    def run(self, name: str, *words: str | Path, again: bool = False) -> None:
        """One stage; a command that fails ends the demo with its exit code."""
        command = [str(word) for word in words]
        if name in self.seconds and not again:
            return
        print(
            f"\n\033[1m$ avssl {' '.join(f'{word!r}' if ' ' in word else word for word in command)}\033[0m", flush=True
        )
        began = time.perf_counter()
        code = cli.run(command)
        if code:
            sys.exit(code)
        self.seconds[name] = round(time.perf_counter() - began, 1)
        replace_text(self.file, json.dumps(self.seconds, indent=1) + "\n")


def one(manifest: Manifest, case: str, skip: int = 0) -> Path:
    """A held-out recording of this case of the world."""
    found = [recording for recording in manifest.split("test") if recording.labels.get("case") == case]
    return manifest.path_of(found[skip])


def main() -> None:
    """The stages, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/demo"))
    parser.add_argument("--clips", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=0, help="training steps; configs/demo.yaml's unless given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, help="add a row of figures to this file (results/demo.jsonl)")
    args = parser.parse_args()
    out: Path = args.output
    out.mkdir(parents=True, exist_ok=True)
    stages, world, run, truth = Stages(out), out / "world", out / "run", out / "world" / "truth.jsonl"
    listed, vectors, index = out / "world.jsonl", out / "vectors", out / "index"

    stages.run("world", "world", "-o", world, "--clips", str(args.clips), "--seed", str(args.seed))
    stages.run("manifest", "manifest", world / "videos", "-o", listed, "--labels", world / "labels.tsv")
    changes = [f"seed={args.seed}", *([f"steps={args.steps}"] if args.steps else [])]
    stages.run("train", "train", ROOT / "configs" / "demo.yaml", f"data={listed}", *changes, "-o", run)
    stages.run("evaluate", "evaluate", run, listed, "--truth", truth)
    stages.run("embed", "embed", run, listed, "-o", vectors, "--split", "test")
    stages.run("index", "index", vectors, "-o", index)
    manifest = Manifest.load(listed)
    stages.run("search_text", "search", index, "--text", "the bell rings on the left", "--top", "5", again=True)
    stages.run("search_audio", "search", index, "--audio", one(manifest, "one"), "--top", "5", again=True)
    still = out / "still.png"
    picture(one(manifest, "one", 1), still)
    stages.run("search_image", "search", index, "--image", still, "--top", "5", again=True)
    clips = [one(manifest, case) for case in ("bystander", "two", "silent", "offscreen")]
    stages.run("localize", "localize", run, *clips, "-o", out / "overlays")
    stages.run("report", "report", run, "-o", out / "report.html")

    judged = json.loads((run / "results.json").read_text())
    figures = {name: judged[name] for name in ("retrieval", "localization")}
    replace_text(out / "results.json", json.dumps({**figures, "seconds": stages.seconds}, indent=1) + "\n")
    if args.rows:
        row = {
            "config": "demo", "digest": judged["digest"], "data": judged["manifest_digest"], "seed": args.seed,
            "steps": judged["step"], "split": judged["split"], "train_seconds": stages.seconds["train"], **figures,
        }  # fmt: skip
        kept = args.rows.read_text(encoding="utf-8") if args.rows.is_file() else ""
        replace_text(args.rows, kept + json.dumps(row) + "\n")
    print(
        f"\nfigures   {out / 'results.json'}\noverlays  {out / 'overlays'}\nreport    {(out / 'report.html').resolve()}"
    )


def picture(clip: Path, still: Path) -> None:
    """The picture in the middle of a clip, as a PNG."""
    from PIL import Image

    from avssl.data.media import decode, probe

    middle = (probe(clip).duration or 0.0) / 2
    Image.fromarray(decode(clip, times=[middle]).video[0].transpose(1, 2, 0)).save(still)


if __name__ == "__main__":
    cli.settle_threads()
    main()
