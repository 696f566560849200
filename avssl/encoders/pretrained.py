"""Towers that others trained: any vision, video, sound or text model of transformers, from a folder or a hub name.

A tower is frozen (``tune`` 0), tuned (-1), or tuned in its last n layers. Where the model has one space for several
modalities (CLIP, SigLIP, CLAP) and ``width`` is that space's, the vector is the model's own, and modalities can be
compared without training. Otherwise it is the mean over the map, projected to ``width`` where it has another.
"""

from __future__ import annotations

import sys
from typing import Any

from avssl.encoders import Spec, hub
from avssl.encoders.towers import ClipTower, FramesTower, ImageTower, SoundTower, TextTower, Tower

CLIPS = ("videomae", "vivit", "vjepa2", "timesformer")
"""models that take whole clips; all others see frame by frame"""


def load(modality: str, spec: Spec, hz: int) -> Tower:
    """The tower at ``spec.path``, with its licence told on stderr. Raises ValueError if it cannot be had or used.

    Args:
        modality: image, video, audio or text.
        spec: path, width and tune count.
        hz: samples per second of the sound it will be given.
    """
    if not spec.path:
        raise ValueError(f"encoders.{modality}.path: a pretrained encoder needs a local folder or a hub name")
    model = hub.model(spec.path)
    config: Any = model.config
    if modality == "video" and config.model_type in CLIPS:
        tower: Tower = ClipTower(modality, spec, model)
    elif modality in ("image", "video"):
        tower = (FramesTower if modality == "video" else ImageTower)(modality, spec, model)
    else:
        tower = SoundTower(modality, spec, model, hz) if modality == "audio" else TextTower(modality, spec, model)
    tower.freeze()
    print(f"encoders.{modality}: {spec.path}, licence: {hub.license_of(spec.path) or 'not stated'}", file=sys.stderr)
    return tower


def vocabulary(spec: Spec) -> str:
    """The text tower's own tokenizer as JSON. Raises ValueError if it has none that can be written so."""
    return hub.tokenizer(spec.path)
