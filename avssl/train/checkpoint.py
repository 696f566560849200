"""Checkpoints: folders that are written whole or not at all, checked when read, and never run code.

checkpoints/step-000200/model.safetensors      the method's state dict
                        optimizer.safetensors  turn/parameter/field
                        state.json             step, config, loader, threads, versions, manifest digest, ...
                        manifest.json          SHA-256 of each
checkpoints/latest                             the newest one's name
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from avssl.inputs import Inputs, Vocabulary
from avssl.train import build
from avssl.train.build import Loaded

FILES = ("model.safetensors", "optimizer.safetensors", "state.json")
UNFINISHED = ".unfinished-"


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    path: Path
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]
    digest: str
    """SHA-256 of the model's weights as stored"""


def save(
    folder: Path,
    step: int,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write ``folder/step-NNNNNN`` so that a kill or a full disk at any moment leaves the previous ones usable.

    Keeps the newest ``keep`` and drops any later than ``step`` (left by a run that went back). Returns the new folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    name = f"step-{step:06d}"
    aside = folder / f"{UNFINISHED}{name}"
    aside.mkdir()
    save_file(dict(model), aside / "model.safetensors")
    save_file(dict(optimizer), aside / "optimizer.safetensors")
    (aside / "state.json").write_text(json.dumps({**state, "step": step}, indent=1), encoding="utf-8")
    sums = {file: sha256(aside / file) for file in FILES}
    (aside / "manifest.json").write_text(json.dumps(sums, indent=1), encoding="utf-8")
    for file in (*FILES, "manifest.json"):
        sync(aside / file)
    sync(aside)
    target = folder / name
    if target.exists():
        os.replace(target, folder / f"{UNFINISHED}old-{name}")
    os.replace(aside, target)
    sync(folder)
    replace_text(folder / "latest", name + "\n")
    earlier = [path for path in steps_in(folder) if _number(path) <= step]
    for path in set(steps_in(folder)) - set(earlier[-keep:]):
        shutil.rmtree(path)
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    return target


def steps_in(folder: Path) -> list[Path]:
    """The checkpoints under ``folder``, earliest first."""
    return sorted((path for path in folder.glob("step-*") if path.is_dir() and path.name[5:].isdigit()), key=_number)


def _number(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def latest(folder: Path, say: Callable[[str], None] = print) -> Checkpoint | None:
    """The newest checkpoint that is whole; None if there are none at all.

    A damaged one is named through ``say`` and the one before it is taken. Raises ValueError if all are damaged.
    """
    found = steps_in(folder)
    wrong = ""
    for path in reversed(found):
        if wrong:
            say(f"{wrong}; going back to {path.name}")
        try:
            return read(path)
        except ValueError as error:
            wrong = str(error)
    if found:
        raise ValueError(f"{wrong}; no checkpoint in {folder} is whole")
    return None


def read(path: Path) -> Checkpoint:
    """One checkpoint, its checksums compared. Raises ValueError naming the file that is missing or damaged."""
    try:
        sums = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        for file in FILES:
            if sha256(path / file) != sums[file]:
                raise ValueError(f"{path} is damaged: {file} is not what was written")
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        model, optimizer = load_file(path / "model.safetensors"), load_file(path / "optimizer.safetensors")
    except OSError as error:
        raise ValueError(f"{path} is not a whole checkpoint: {error.strerror}: {error.filename}") from None
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    return Checkpoint(path, model, optimizer, state, sums["model.safetensors"])


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all, durably."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    sync(aside)
    os.replace(aside, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def run_of(folder: Path) -> Path:
    """The run that a checkpoint is of; a run's folder, or an exported one, is its own."""
    return folder.parent.parent if (folder / "state.json").is_file() else folder


def load_run(folder: Path | str, trained: bool = True) -> Loaded:
    """A run's folder, one of its checkpoints, or an exported folder -> its method, ready for use.

    ``trained`` False gives the same method with the random initialization it had before its first step.
    Raises ValueError, one line, if there is nothing to load or it is damaged.
    """
    folder = Path(folder)
    exported = (folder / "config.json").is_file()
    run = run_of(folder)
    about = build.read_json(folder / "config.json") if exported else _about(run)
    cfg = build.parse(about["config"], str(run))
    words = run / "vocabulary.json"
    inputs = Inputs(cfg.inputs, Vocabulary(words.read_text(encoding="utf-8")) if words.is_file() else None)
    towers = run / "towers" if (run / "towers").is_dir() else None
    newest = _newest(folder, run, about, exported) if trained else None
    if newest and inputs.vocabulary is None and any(key.startswith("encoders.text.") for key in newest[2]):
        raise ValueError(f"{words} is missing: this network reads text by it; bring it back, or train anew")
    method = build.method_of(cfg, inputs, about["length"], towers=towers)
    manifest, recordings = Path(about["manifest"]) if about["manifest"] else None, about["manifest_digest"]
    if newest is None:
        if towers is not None and not build.unfill(method, _newest(folder, run, about, exported)[2]):
            method = build.method_of(cfg, inputs, about["length"])  # what a tuned tower came with is in its own folder
        digest = hashlib.sha256(json.dumps(["untrained", about["config"], recordings]).encode()).hexdigest()
        return Loaded(cfg, method.eval(), inputs, digest, manifest, 0, recordings)
    step, digest, weights = newest
    build.fill(method, weights, str(folder))
    build.layout(method, cfg.channels_last)
    return Loaded(cfg, method.eval(), inputs, digest, manifest, step, recordings)


def _newest(folder: Path, run: Path, about: dict[str, Any], exported: bool) -> tuple[int, str, dict[str, Tensor]]:
    """Step, digest and weights. Raises ValueError."""
    if exported:
        return about["step"], about["digest"], _weights(folder, about["weights"])
    found = read(folder) if run != folder else latest(run / "checkpoints")
    if found is None:
        raise ValueError(f"{run} has no checkpoint yet; train it first: avssl train {run} --resume")
    return found.state["step"], found.digest, found.model


def _about(run: Path) -> dict[str, Any]:
    if not (run / "run.json").is_file():
        raise ValueError(f"{run} is no run and no exported folder; train one first: avssl train CONFIG -o {run}")
    return build.read_json(run / "run.json")


def _weights(folder: Path, digest: str) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    try:
        if sha256(path) != digest:
            raise ValueError(f"{path} is damaged: it is not what was exported")
        weights: dict[str, Tensor] = load_file(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    return weights
