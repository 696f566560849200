"""Folders and hub repositories of transformers: models, tokenizers, and what their files state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn


def model(path: str) -> nn.Module:
    """The model there, in float32. Raises ValueError if there is none."""
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(path)
        for name, value in (("layerdrop", 0.0), ("encoder_layerdrop", 0.0), ("apply_spec_augment", False)):
            if hasattr(config, name):  # augmentation is the method's, and layers left out would wait for gradients
                setattr(config, name, value)
        found: nn.Module = AutoModel.from_pretrained(path, config=config, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"encoders.path: no model of transformers at {path}: {line(error)}") from None
    return found


def colors(path: str, modality: str) -> tuple[list[float], list[float]]:
    """Mean and deviation of the pictures the tower was trained on. Raises ValueError if its folder does not tell."""
    for name in ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"):
        found = file(path, name)
        for values in _mappings(json.loads(found.read_text(encoding="utf-8"))) if found else ():
            if "image_mean" in values and "image_std" in values:
                return list(values["image_mean"]), list(values["image_std"])
    raise ValueError(f"encoders.{modality}.path: {path} has no preprocessor_config.json with image_mean and image_std")


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _mappings(inner)


def file(path: str, name: str) -> Path | None:
    """A file of the tower's folder or repository; None if it is not there."""
    from transformers.utils import cached_file

    try:
        found = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
    except OSError:
        return None
    return Path(found) if found else None


def line(error: Exception) -> str:
    """An error of transformers, which may be a page, as one line."""
    return " ".join(str(error).split())[:200]


def tokenizer(path: str) -> str:
    """The tokenizer there as JSON. Raises ValueError if it has none that can be written so."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"encoders.text.path: no tokenizer in {path}: {line(error)}") from None
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"encoders.text.path: the tokenizer of {path} has no tokenizer.json")
    backend.no_padding()
    backend.no_truncation()
    return str(backend.to_str())


def license_of(path: str) -> str | None:
    """What the README's front matter states; None without one."""
    found = file(path, "README.md")
    pieces = found.read_text(encoding="utf-8", errors="replace").split("---", 2) if found else []
    if len(pieces) < 3 or pieces[0].strip():
        return None
    try:
        matter = yaml.safe_load(pieces[1])
    except yaml.YAMLError:
        return None
    stated = matter.get("license") if isinstance(matter, dict) else None
    return str(stated) if stated else None
