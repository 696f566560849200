"""What embeds: a trained run, or pretrained towers as they are, which need no training."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from avssl import config, encoders, ops
from avssl.config import MethodConfig, RunConfig
from avssl.inputs import Inputs
from avssl.methods import base
from avssl.methods.base import Batch, Method, Space, Step, Transform
from avssl.sample import Needs
from avssl.train.build import Loaded, vocabulary
from avssl.train.checkpoint import load_run
from avssl.train.distributed import device_of

MODALITIES = ("video", "image", "audio", "text")


def load(source: str | Path, changes: Sequence[str] = (), device: str = "auto") -> Loaded:
    """A run's folder, a checkpoint or an exported folder; or a config whose towers are pretrained.

    Args:
        source: the folder, or the path or shipped name of a config.
        changes: key=value on top of a config.
        device: auto, cpu, cuda or mps.

    Raises ValueError when there is no such thing, and for a config without pretrained towers.
    """
    if Path(source).is_dir() or not _is_config(str(source)):
        if changes:
            raise ValueError(
                f"{source} is a run: its settings are what it was trained with, so {changes[0]} is too late"
            )
        loaded = load_run(source)
    else:
        loaded = _towers(config.load(source, changes, base.config_of), str(source))
    loaded.method.to(device_of(device))
    return loaded


def is_towers(source: str | Path) -> bool:
    """Whether this names a config and not a folder."""
    return not Path(source).is_dir() and _is_config(str(source))


def told_as(source: str) -> str:
    """How what it embeds tells of it, so that it is found again from anywhere: a folder by its whole path."""
    return source if is_towers(source) else str(Path(source).resolve())


def _is_config(source: str) -> bool:
    return source.endswith((".yaml", ".yml")) or source in config.shipped()


class Towers(Method[MethodConfig]):
    """Pretrained towers side by side. Those of one model share a space; the first space is ``main``."""

    modalities = MODALITIES

    def __init__(self, cfg: MethodConfig, inputs: Inputs, towers: nn.ModuleDict, models: dict[str, str]):
        super().__init__(cfg, inputs, towers, 1)
        together: dict[str, list[str]] = defaultdict(list)
        for modality, model in models.items():
            together[model].append(modality)
        for place, shared in enumerate(together.values()):
            name = "main" if place == 0 else "_".join(shared)
            self.spaces[name] = Space(tuple(shared), encoders.width(towers[shared[0]]))

    @classmethod
    def needs(cls, cfg: MethodConfig, inputs: Inputs) -> Needs:
        """A window; nothing is learnt from it."""
        return inputs.needs(audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: MethodConfig, inputs: Inputs) -> Transform:
        """There is none."""
        raise ValueError("pretrained towers are used as they are; to train on top of them, avssl train")

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """There is no loss."""
        raise ValueError("pretrained towers are used as they are; to train on top of them, avssl train")

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """The tower's own unit vectors [B, D]."""
        if space not in self.spaces or modality not in self.spaces[space].modalities:
            raise self.no_space(modality, space)
        return ops.unit(self.encoders[modality](x).vector)


def _towers(cfg: RunConfig, where: str) -> Loaded:
    models = {name: getattr(cfg.encoders, name) for name in MODALITIES}
    held = {name: spec.path for name, spec in models.items() if spec.name == "pretrained"}
    if not held:
        raise ValueError(f"{where} is a config, and its encoders know nothing before training: avssl train {where} ...")
    inputs = Inputs(cfg.inputs, vocabulary(cfg, []) if "text" in held else None)
    built = encoders.build(cfg.encoders, held, mels=cfg.inputs.mels, tokens=cfg.inputs.tokens, hz=cfg.inputs.hz)
    method = Towers(cfg.method, inputs, built, held).eval()
    told = hashlib.sha256()
    for name, value in sorted(method.state_dict().items()):
        told.update(name.encode())
        told.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return Loaded(cfg, method, inputs, told.hexdigest(), None, 0, "")
