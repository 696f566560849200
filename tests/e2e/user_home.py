"""A user's folder, with everything in it made by the commands, and a command started as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

from avssl.cli import run

SMALL = [
    "steps=4", "data.batch=4", "data.workers=0", "data.cache_gb=0", "evaluate_every=0", "log_every=1", "threads=1",
    "precision=fp32",
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=4", "inputs.audio_seconds=1",
    "inputs.mels=16", "method.width=32", "method.moment_width=8", "encoders.video.width=16", "encoders.audio.width=16",
    "encoders.text.width=16", "encoders.text.layers=1",
]  # fmt: skip
SIDE, SECONDS, CLIPS = 64, 2.0, 24


def shell(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m avssl`` as a user would start it."""
    return subprocess.run(
        [sys.executable, "-m", "avssl", *map(str, words)], capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", **environment}, check=False,
    )  # fmt: skip


class Home:
    """A user's folder, with everything made by the commands, each run once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.world, self.manifest, self.run = folder / "world", folder / "world.jsonl", folder / "run"
        self.vectors, self.index = folder / "vectors", folder / "index"
        made = shell("world", "-o", self.world, "--clips", CLIPS, "--side", SIDE, "--seconds", SECONDS, "--workers", 1)
        assert made.returncode == 0, made.stderr
        for words in (
            [
                "manifest",
                self.world / "videos",
                "-o",
                self.manifest,
                "--labels",
                self.world / "labels.tsv",
                "--workers",
                1,
            ],
            ["train", "trimodal", f"data={self.manifest}", *SMALL, "-o", self.run],
            ["embed", self.run, self.manifest, "-o", self.vectors],
            ["index", self.vectors, "-o", self.index],
        ):
            assert run([str(word) for word in words]) == 0, words
