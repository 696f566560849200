"""What all pretrained towers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from avssl.encoders import Spec
from avssl.encoders.memory import Memory
from avssl.nn import lora

PARTS = {"image": "vision", "video": "vision", "audio": "audio", "text": "text"}
PROJECTIONS = {"image": "visual_projection", "video": "visual_projection", "audio": "audio_projection",
               "text": "text_projection"}  # fmt: skip


class Tower(nn.Module, ABC):
    """What all have in common: which part of the model is used, what is tuned, and how its outputs get their width.

    ``memory`` keeps what a frozen tower saw; ``source`` says where the weights are from and what their licence is,
    ``whole`` is the settings of the model that the tower is part of, ``origin`` the folder or name they were read from.
    """

    memory: Memory | None = None
    whole: Any
    origin: str

    def __init__(self, modality: str, spec: Spec, model: nn.Module):
        super().__init__()
        whole: Any = model.config
        self.kind = str(whole.model_type)
        self.tune = spec.tune
        self.lora = spec.lora
        self.source: dict[str, str] = {}
        part = getattr(model, f"{PARTS[modality]}_model", None)
        config = getattr(whole, f"{PARTS[modality]}_config", whole)
        hidden = int(getattr(config, "hidden_size", 0) or getattr(config, "d_model", 0) or config.hidden_sizes[-1])
        several = part is not None and isinstance(getattr(model, "text_model", None), nn.Module)
        own = int(getattr(whole, "projection_dim", 0) or hidden)
        self.shared = several and spec.width == own
        """whether its vectors live in the model's own space of several modalities"""
        self.tower: nn.Module = part if part is not None else _encoder(modality, model)
        self.config = config
        self.project: nn.Module = nn.Identity()
        if self.shared:
            self.project = getattr(model, PROJECTIONS[modality], None) or nn.Identity()
        elif hidden != spec.width:
            self.project = nn.Linear(hidden, spec.width)

    @abstractmethod
    def example(self) -> Tensor:
        """A small input."""

    @abstractmethod
    def look(self, x: Tensor) -> tuple[Tensor, ...]:
        """The tower's own output, [B, C, ...] over places and moments, and where it is shared its vector [B, C']."""

    @property
    def moves(self) -> bool:
        """Whether any of it is trained."""
        return self.tune != 0 or self.lora > 0

    def about(self) -> dict[str, Any]:
        """All but the weights that shapes what it sees, as plain values."""
        told: dict[str, Any] = self.config.to_dict()
        return {"class": type(self).__name__, "shared": self.shared, "config": told}

    def seen(self, x: Tensor) -> tuple[Tensor, ...]:
        """:meth:`look`, remembered where nothing of the tower is trained."""
        return self.look(x) if self.moves or self.memory is None else self.memory(self.look, x)

    def freeze(self) -> None:
        """Leaves a gradient to the tuned part alone, and to nothing that never gets one. Raises ValueError for a tower
        without a layer to adapt."""
        frozen = [self.tower, self.project] if self.shared else [self.tower]
        for part in frozen:
            part.requires_grad_(self.tune < 0)
        if self.tune > 0:
            lists = [part for part in self.tower.modules() if isinstance(part, nn.ModuleList)]
            layers = max(reversed(lists), key=len)  # of equally long ones the last: the first may be a stem
            for layer in layers[-self.tune :]:
                layer.requires_grad_(True)
        if self.lora:
            lora.adapt(self.tower, self.lora)
        self.train()
        if self.moves:
            self._freeze_unused()

    def _freeze_unused(self) -> None:
        """Poolers, mask tokens and the like would wait for gradients that never come."""
        self.eval()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            features = self(self.example())
            (features.vector.sum() + features.maps[-1].sum()).backward()
        for parameter in self.tower.parameters():
            parameter.requires_grad_(parameter.requires_grad and parameter.grad is not None)
        self.zero_grad(set_to_none=True)
        self.train()

    def train(self, mode: bool = True) -> Tower:
        """A frozen tower never drops anything, and batch normalization keeps the statistics it came with."""
        super().train(mode)
        for part in self.tower.modules():
            if not self.moves or isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.training = False
        return self

    def run(self, **inputs: Any) -> Any:
        """The tower's output, without gradient where it is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.moves):
            return self.tower(**inputs)

    def widened(self, maps: Tensor) -> Tensor:
        """Projects axis 1 of [B, C, ...] to D."""
        projected: Tensor = self.project(maps.movedim(1, -1))
        return projected.movedim(-1, 1)


def _encoder(modality: str, model: nn.Module) -> nn.Module:
    """The part of an encoder-decoder that sees the input."""
    encoder = getattr(model, "encoder", None)
    if getattr(model, "decoder", None) is not None and isinstance(encoder, nn.Module) and modality in ("audio", "text"):
        return encoder
    return model
