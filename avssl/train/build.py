"""From a configuration to a method, the same way for training, for loading a run and for an exported folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avssl import config, encoders
from avssl.config import MethodConfig, RunConfig
from avssl.data.maker import mix
from avssl.inputs import Inputs, Vocabulary
from avssl.methods import base
from avssl.methods.base import Method
from avssl.nn import chunked


@dataclass(frozen=True)
class Loaded:
    """A run, ready for use: ``method`` is in eval mode, on the CPU.

    ``digest`` names the weights: vectors of equal digests can be compared. ``manifest`` is what it was trained on,
    None where an exported folder does not know.
    """

    cfg: RunConfig
    method: Method[MethodConfig]
    inputs: Inputs
    digest: str
    manifest: Path | None
    step: int
    manifest_digest: str = ""


def vocabulary(cfg: RunConfig, texts: Iterable[str]) -> Vocabulary | None:
    """The vocabulary of a run whose method reads text: its pretrained tower's, or one trained on ``texts``; else None.

    Raises ValueError if there is no narration to train one on.
    """
    if "text" not in base.find(cfg.method.name).modalities:
        return None
    if cfg.encoders.text.name == "pretrained":
        from avssl.encoders import pretrained

        spec: Any = cfg.encoders.text  # frozen, where the protocol's attributes could be set
        return Vocabulary(pretrained.vocabulary(spec))
    told = [text for text in texts if text.strip()]
    if not told and "text" in base.find(cfg.method.name).optional:
        return None
    if not told:
        raise ValueError(
            f"{cfg.method.name} learns from narration, and none of the training recordings has any: "
            "put .vtt, .srt or .ass files beside them, or choose a method without text (avssl methods)"
        )
    return Vocabulary.train(told, cfg.inputs.vocabulary)


def method_of(
    cfg: RunConfig, inputs: Inputs, length: int, *, chunks: int = 1, towers: Path | None = None
) -> Method[MethodConfig]:
    """The method with its random initialization, which is a function of the run's seed. The global state of randomness
    is left as it was.

    Args:
        cfg: the run's.
        inputs: with the run's vocabulary.
        length: number of training items.
        chunks: passes that each encoder's gradients are cached over.
        towers: what a run kept of its pretrained towers; they are built from it, around random weights.
    """
    kind = base.find(cfg.method.name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(mix(cfg.seed, 0))
        named = kind.towers(cfg.method, cfg.encoders)
        if not inputs.vocabulary and "text" in kind.optional:
            named.pop("text", None)
        built = encoders.build(
            cfg.encoders,
            named,
            mels=cfg.inputs.mels,
            tokens=cfg.inputs.tokens,
            vocabulary=len(inputs.vocabulary) if inputs.vocabulary else 0,
            hz=cfg.inputs.hz,
            kept=towers,
        )
        if chunks > 1:
            chunked.wrap(built, chunks, {name: section for name, (section, _) in named.items()})
        return kind(cfg.method, inputs, built, length)


def fill(method: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """Load weights that fit exactly. Raises ValueError naming the first that does not."""
    try:
        method.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ValueError(f"{where} does not fit this method: {first}") from None


def unfill(method: Method[MethodConfig], weights: dict[str, Tensor]) -> bool:
    """Load of a run's weights only those that its pretrained towers came with; whether none of these was tuned."""
    from avssl.encoders import pretrained

    own = {key.removeprefix("encoders."): value for key, value in weights.items() if key.startswith("encoders.")}
    method.encoders.load_state_dict(pretrained.frozen(method.encoders, own), strict=False)
    return not any(tower.tune for tower in pretrained.towers(method.encoders).values())


def fill_encoders(method: Method[MethodConfig], weights: dict[str, Tensor], where: str) -> None:
    """Start from another run's encoders, and from the parts beside them that the method inherits.

    Raises ValueError if they share no encoder, or something is of another shape.
    """
    own = method.encoders.state_dict()
    theirs = {key.removeprefix("encoders."): value for key, value in weights.items() if key.startswith("encoders.")}
    shared = {modality for modality in method.encoders if any(key.startswith(f"{modality}.") for key in theirs)}
    if not shared:
        raise ValueError(f"init={where}: it has none of the encoders {', '.join(method.encoders)}")
    for key in own:
        if key.split(".", 1)[0] in shared and (key not in theirs or theirs[key].shape != own[key].shape):
            has = tuple(theirs[key].shape) if key in theirs else "nothing"
            raise ValueError(f"init={where}: encoders.{key} is {has} there and {tuple(own[key].shape)} here")
    method.encoders.load_state_dict(
        {key: theirs.get(key, value) if key.split(".", 1)[0] in shared else value for key, value in own.items()}
    )
    whole = method.state_dict()
    for key in [key for key in whole if key.split(".", 1)[0] in method.inherits and key in weights]:
        if weights[key].shape != whole[key].shape:
            raise ValueError(
                f"init={where}: {key} is {tuple(weights[key].shape)} there, {tuple(whole[key].shape)} here"
            )
        whole[key] = weights[key]
    method.load_state_dict(whole)


def layout(method: nn.Module, channels_last: bool) -> None:
    """Weights of 2-D convolutions with channels last, which a CPU with bf16 and an accelerator need for speed."""
    if channels_last:
        for parameter in method.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def dump(cfg: RunConfig) -> dict[str, Any]:
    """A configuration as plain values; :func:`parse` reads them back."""
    return cfg.model_dump(mode="json")


def parse(values: dict[str, Any], where: str) -> RunConfig:
    """Plain values -> configuration. Raises ValueError."""
    return config.build(values, base.config_of, where)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file. Raises ValueError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected an object, got {type(values).__name__}")
    return values


def changes(old: Any, new: Any, key: str = "") -> list[str]:
    """What differs between two configurations as plain values: "key: old -> new", one for each leaf."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for name in [*old, *(name for name in new if name not in old)]:
            found += changes(old.get(name), new.get(name), f"{key}.{name}" if key else name)
        return found
    return [] if old == new else [f"{key}: {old!r} -> {new!r}"]
