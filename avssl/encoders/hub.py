"""Folders and hub repositories of transformers: models, tokenizers, and what their files state.

Weights are read from safetensors alone: the older ``.bin`` files are pickles, which run code when they are read. Models
whose code comes with them are refused.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
import yaml
from safetensors import SafetensorError
from torch import nn

from avssl.words import one_line

HUB_SECONDS = 3.0
"""how long the hub may take to answer at all; its own client tries for half a minute"""
KEPT = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json", "README.md")
"""small files that tell how a tower takes its input, and what its author allows"""
READ = (".safetensors", ".json", ".bin", ".txt")
"""ends of the files that make a model what it is"""


def model(path: str) -> nn.Module:
    """The model there, in float32. Raises ValueError if there is none, or only one that is a pickle."""
    from transformers import AutoModel

    try:
        config = _config(path)
        found, told = AutoModel.from_pretrained(
            path, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True,
            **_only(path),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        if Path(path).is_dir() and any(Path(path).glob("*.bin")) and not any(Path(path).glob("*.safetensors")):
            raise ValueError(
                f"encoders.path: the weights in {path} are a pickle (.bin), which runs code when it is read; take a "
                "copy with model.safetensors"
            ) from None
        why = "its code comes with it, and is not run" if "trust_remote_code" in str(error) else one_line(error)
        if not Path(path).exists() and local(path) and not _looks_like_a_folder(path):
            why = "it is not on this machine, and the hub cannot be reached"
        raise ValueError(f"encoders.path: no model of transformers at {path}: {why}") from None
    lacking = sorted(told["missing_keys"])
    if lacking:
        some = ", ".join(lacking[:3]) + (", ..." if len(lacking) > 3 else "")
        print(f"{path}: {len(lacking)} weights are not in its files and stay random: {some}", file=sys.stderr)
    whole: nn.Module = found
    return whole


def skeleton(folder: Path) -> nn.Module:
    """The model that :func:`keep` wrote about, with random weights. Raises ValueError if its files are damaged."""
    from transformers import AutoModel

    try:
        found: nn.Module = AutoModel.from_config(_config(str(folder)), dtype=torch.float32)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ValueError(f"{folder} does not tell what its tower is: {one_line(error)}") from None
    return found


def _config(path: str) -> Any:
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if not Path(path).is_dir() and _looks_like_a_folder(path):
        raise OSError("no such folder")
    config = AutoConfig.from_pretrained(path, **_only(path))
    for name, value in (("layerdrop", 0.0), ("encoder_layerdrop", 0.0), ("apply_spec_augment", False)):
        if hasattr(config, name):  # augmentation is the method's, and layers left out would wait for gradients
            setattr(config, name, value)
    return config


def local(path: str) -> bool:
    """Whether only what is on this machine counts: for a folder, and while the hub does not answer."""
    return Path(path).is_dir() or not _hub_answers()


def extractor(path: str) -> Any:
    """What makes a sound tower's input of a wave. Raises ValueError if there is none."""
    from transformers import AutoFeatureExtractor

    try:
        return AutoFeatureExtractor.from_pretrained(path, **_only(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"encoders.audio.path: no preprocessor_config.json in {path}: {one_line(error)}") from None


def _only(path: str) -> dict[str, bool]:
    """How all is read: code that lies beside a tower is never run, and nobody is asked whether it may be."""
    return {"local_files_only": local(path), "trust_remote_code": False}


@functools.cache
def _hub_answers() -> bool:
    from huggingface_hub import constants

    address = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), HUB_SECONDS).close()
    except OSError:
        return False
    return not constants.HF_HUB_OFFLINE


def _looks_like_a_folder(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.endswith("/")


def keep(path: str, config: Any, folder: Path) -> None:
    """Write to ``folder`` what is needed to build this tower anew around weights from a checkpoint."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    aside.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(aside)
    for name in KEPT:
        found = file(path, name)
        if found is not None:
            (aside / name).write_bytes(found.read_bytes())
    os.replace(aside, folder)


def colors(path: str, modality: str) -> tuple[list[float], list[float]]:
    """Mean and deviation of the pictures the tower was trained on. Raises ValueError if its folder does not tell."""
    for values in _preprocessing(path):
        if "image_mean" in values and "image_std" in values:
            return list(values["image_mean"]), list(values["image_std"])
    raise ValueError(f"encoders.{modality}.path: {path} has no preprocessor_config.json with image_mean and image_std")


def crop(path: str) -> tuple[int, int] | None:
    """Height and width of the pictures the tower's own preprocessing makes; None where its folder does not tell."""
    for values in _preprocessing(path):
        size = values.get("crop_size")
        if isinstance(size, dict) and {"height", "width"} <= size.keys():
            return int(size["height"]), int(size["width"])
    return None


def _preprocessing(path: str) -> Iterator[dict[str, Any]]:
    for name in ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"):
        found = file(path, name)
        yield from _mappings(json.loads(found.read_text(encoding="utf-8"))) if found else ()


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _mappings(inner)


def file(path: str, name: str) -> Path | None:
    """A file of the tower's folder or repository; None if it is not there."""
    from transformers.utils import cached_file

    try:
        found = cached_file(path, name, _raise_exceptions_for_missing_entries=False, local_files_only=local(path))
    except OSError:
        return None
    return Path(found) if found else None


def version(path: str) -> str:
    """What tells a model's weights from others of the same name: a digest of its folder's files, or the revision of a
    hub's model on this machine; "" where neither is known."""
    if Path(path).is_dir():
        told = hashlib.blake2b(digest_size=12)
        for one in sorted(one for one in Path(path).iterdir() if one.suffix in READ):
            with open(one, "rb") as opened:
                told.update(one.name.encode() + hashlib.file_digest(opened, "blake2b").digest())
        return told.hexdigest()
    found = file(path, "config.json")
    return found.parent.name if found else ""


def tokenizer(path: str) -> str:
    """The tokenizer there as JSON. Raises ValueError if it has none that can be written so."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(path, **_only(path))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"encoders.text.path: no tokenizer in {path}: {one_line(error)}") from None
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"encoders.text.path: the tokenizer of {path} has no tokenizer.json")
    if set(found.get_vocab()) <= set(found.all_special_tokens):  # made up where its files are missing
        raise ValueError(f"encoders.text.path: no tokenizer in {path}: tokenizer.json or vocab.txt is missing")
    backend.no_padding()
    backend.no_truncation()
    return str(backend.to_str())


def license_of(path: str) -> str:
    """What the front matter of its model card (README.md) states; "" where nothing is stated."""
    found = file(path, "README.md")
    lines = found.read_text(encoding="utf-8-sig", errors="replace").splitlines() if found else []
    if not lines or lines[0].rstrip() != "---":
        return ""
    ends = next((number for number, text in enumerate(lines[1:], 1) if text.rstrip() == "---"), 0)
    try:
        matter = yaml.safe_load("\n".join(lines[1:ends]))
    except yaml.YAMLError:
        return ""
    if not isinstance(matter, dict):
        return ""
    stated, name = matter.get("license"), matter.get("license_name")
    words = [str(one) for one in (stated if isinstance(stated, list) else [stated]) if one]
    return ", ".join([*(word for word in words if word != "other" or not name), *([str(name)] if name else [])])


def terms(license_: str) -> str:
    """A licence that :func:`license_of` found, or that it found none, in words for people."""
    told = license_ or "not stated; ask who made it before you pass on what comes of it"
    if restricted(license_):
        told += " (not for commercial use, and neither is what is trained on it)"
    return f"licence: {told}"


def restricted(license_: str) -> bool:
    """Whether a stated licence forbids commercial use by its name: "nc" is one of its words, or it says so."""
    words = re.findall(r"[a-z0-9]+", license_.lower())
    return "nc" in words or "noncommercial" in "".join(words)
