"""Towers that others trained: any vision, video, sound or text model of transformers, from a folder or a hub name.

A tower is frozen (``tune`` 0), tuned (-1), tuned in its last n layers, or frozen with low-rank adapters (``lora``).
Where the model has one space for several modalities (CLIP, SigLIP, CLAP) and ``width`` is that space's, the vector is
the model's own, and modalities can be compared without training. Otherwise it is the mean over the map, projected to
``width`` where it has another.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from avssl.encoders import Spec, hub, memory
from avssl.encoders.tower import Tower
from avssl.encoders.towers import ClipTower, FramesTower, ImageTower, SoundTower, TextTower

CLIPS = ("videomae", "vivit", "vjepa2", "timesformer")
"""models that take whole clips; all others see frame by frame"""


def load(modality: str, spec: Spec, hz: int, kept: Path | None = None) -> Tower:
    """The tower at ``spec.path``, with its licence told on stderr. Raises ValueError if it cannot be had or used.

    Args:
        modality: image, video, audio or text.
        spec: path, width, tune count and rank.
        hz: samples per second of the sound it will be given.
        kept: a folder that :func:`keep` wrote; the tower is then built from it alone, around random weights.
    """
    if not spec.path:
        raise ValueError(f"encoders.{modality}.path: a pretrained encoder needs a local folder or a hub name")
    if spec.lora and spec.tune:
        raise ValueError(
            f"encoders.{modality}: lora={spec.lora} adapts frozen weights and tune={spec.tune} moves them; choose one"
        )
    path = spec.path if kept is None else str(kept)
    with torch.random.fork_rng(devices=[]):  # the heads beside it begin alike, whichever way it is made
        model = hub.model(path) if kept is None else hub.skeleton(kept)
    kind = str(model.config.model_type)  # type: ignore[union-attr]
    if modality == "video" and kind in CLIPS:
        tower: Tower = ClipTower(modality, spec, model, path)
    elif modality in ("image", "video"):
        tower = (FramesTower if modality == "video" else ImageTower)(modality, spec, model, path)
    elif modality == "audio":
        tower = SoundTower(modality, spec, model, path, hz)
    else:
        tower = TextTower(modality, spec, model)
    tower.freeze()
    tower.whole, tower.origin = model.config, path
    tower.source = {"path": spec.path, "model": kind, "license": hub.license_of(path)}
    print(f"encoders.{modality}: {spec.path}, {hub.terms(tower.source['license'])}", file=sys.stderr)
    return tower


def towers(encoders: nn.ModuleDict) -> dict[str, Tower]:
    """Modality -> its tower, for those that are pretrained."""
    found = {}
    for modality, encoder in encoders.items():
        inside = next((part for part in encoder.modules() if isinstance(part, Tower)), None)
        if inside is not None:
            found[modality] = inside
    return found


def keep(encoders: nn.ModuleDict, folder: Path) -> None:
    """Write what is needed to build the towers anew around their weights, a folder for each modality."""
    for modality, tower in towers(encoders).items():
        if not (folder / modality / "config.json").is_file():
            hub.keep(tower.origin, tower.whole, folder / modality)


def frozen(encoders: nn.ModuleDict, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of the state dict of ``encoders`` what its pretrained towers never change."""
    found: dict[str, Tensor] = {}
    for modality, tower in towers(encoders).items():
        moved = {f"{modality}.{name}" for name, value in tower.named_parameters() if value.requires_grad}
        found |= {key: value for key, value in weights.items() if key.startswith(f"{modality}.") and key not in moved}
    return found


def sources(encoders: nn.ModuleDict) -> dict[str, dict[str, str]]:
    """Modality -> path, kind of model and licence ("" where none is stated) of what was loaded."""
    return {modality: tower.source for modality, tower in towers(encoders).items()}


def remember(encoders: nn.ModuleDict, limit_bytes: int, ranks: int = 1, base: Path | None = None) -> list[str]:
    """Let the frozen towers remember on disk what they saw; returns their modalities.

    Args:
        encoders: of a method, with the weights they will see with.
        limit_bytes: most that all towers' memories may take.
        ranks: processes that share the limit.
        base: folder of all memories; the user's cache.
    """
    base = base or memory.root()
    frozen = {modality: tower for modality, tower in towers(encoders).items() if not tower.moves}
    names = {
        modality: memory.digest(tower.tower.state_dict(), {"modality": modality, **tower.about()})
        for modality, tower in frozen.items()
    }
    if frozen:
        each = memory.room(base, list(names.values()), limit_bytes) // (ranks * len(frozen))
        for modality, tower in frozen.items():
            tower.memory = memory.Memory(base / names[modality], each)
    return list(frozen)


def vocabulary(spec: Spec) -> str:
    """The text tower's own tokenizer as JSON. Raises ValueError if it has none that can be written so."""
    return hub.tokenizer(spec.path)
