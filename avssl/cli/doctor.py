"""avssl doctor: is everything here that is needed?"""

import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PACKAGES = (
    "torch",
    "torchvision",
    "torchaudio",
    "av",
    "numpy",
    "transformers",
    "tokenizers",
    "safetensors",
    "pydantic",
)
Check = tuple[str, Callable[[], str]]


def doctor() -> None:
    """Check versions, devices, faiss, codecs (by decoding a generated clip) and a training step of each family."""
    console, failed = Console(), 0
    with TemporaryDirectory() as folder:
        for title, checks in _all(Path(folder)):
            table = Table(
                "", "", "", title=f"\n{title}", title_justify="left", box=None, pad_edge=False, show_header=False
            )
            for name, check in checks:
                began = time.perf_counter()
                try:
                    told = check()
                    seconds = time.perf_counter() - began
                    table.add_row("[green]ok[/green]", escape(name), escape(f"{told}{_took(seconds)}"))
                except Exception as error:  # a doctor names every cause and goes on
                    failed += 1
                    table.add_row("[red]fail[/red]", escape(name), escape(_cause(error)))
            console.print(table)
    if failed:
        console.print(f"\n[red]{failed} of the checks failed[/red]")
        raise typer.Exit(1)
    console.print("\nall is well")


def _took(seconds: float) -> str:
    return f"  ({seconds:.1f} s)" if seconds >= 0.5 else ""


def _cause(error: BaseException) -> str:
    """The first cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _all(folder: Path) -> Iterator[tuple[str, list[Check]]]:
    told = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "versions", [("python", lambda: told), *((name, partial(_version, name)) for name in PACKAGES)]
    yield "devices", [("devices", _devices), ("faiss", _faiss)]
    codecs = {"h264 + aac in mp4": ("a.mp4", "h264", "aac"), "vp9 + opus in webm": ("b.webm", "libvpx-vp9", "libopus")}
    yield "codecs", [(told, partial(_codec, folder / name, *both)) for told, (name, *both) in codecs.items()]
    yield "one training step of each family", _steps(folder / "world")


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


def _devices() -> str:
    import os

    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [f"{cores} cpu cores, {torch.get_num_threads()} threads"]
    found += [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(found)


def _faiss() -> str:
    from retrieval.index import import_faiss

    faiss = import_faiss()
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return f"{faiss.__version__}, {gpus} gpus" if gpus else f"{faiss.__version__}, cpu"


def _codec(path: Path, video: str, audio: str) -> str:
    import numpy as np

    from avssl.data.encode import write_clip
    from avssl.data.media import decode

    frames = (np.full((64, 64, 3), value, np.uint8) for value in np.linspace(20, 235, 10).astype(int))
    tone = (0.4 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)).astype(np.float32)
    write_clip(path, frames, 10, tone, 48000, video_codec=video, audio_codec=audio)
    read = decode(path, times=[0.05, 0.95], audio=(0.2, 0.5), hz=16000, strict=True)
    first, last = read.video.reshape(2, -1).mean(1)
    level = float(np.sqrt((read.audio**2).mean()))
    if not (abs(first - 20) < 12 and abs(last - 235) < 12):
        raise ValueError(f"pictures came back as {first:.0f} and {last:.0f}, not 20 and 235")
    if not 0.2 < level < 0.35:
        raise ValueError(f"sound came back at a level of {level:.3f}, not 0.283")
    return "written and read back"


def _steps(folder: Path) -> list[Check]:
    """One check for each family: one optimizer step of its first method with a config, on a made-up world."""
    from avssl.config import shipped
    from avssl.methods.base import catalogue

    found: dict[str, str] = {}
    for method, family in catalogue().items():
        if method in shipped():
            found.setdefault(family, method)
    return [(f"{family} ({method})", partial(_step, folder, method)) for family, method in found.items()]


def _step(folder: Path, method: str) -> str:
    from avssl import config as configs
    from avssl.data.world import make_world
    from avssl.methods import base
    from avssl.train.run import start

    if not (folder / "truth.jsonl").exists():
        make_world(folder, clips=10, side=64, fps=8.0, seconds=3.0, workers=1)
    small = [
        f"data={folder / 'videos'}",
        "data.batch=4",
        "data.workers=0",
        "data.cache_gb=0",
        "steps=1",
        "evaluate_every=0",
    ]
    cfg = configs.load(method, small, base.config_of)
    start(cfg, folder.parent / method, progress=False)
    return "done"
