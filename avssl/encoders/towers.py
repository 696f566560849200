"""Pretrained towers as encoders: one class for each way a model takes its input and lays out its tokens."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avssl.encoders import Features, Spec, hub
from avssl.encoders.sound_features import prepare

PARTS = {"image": "vision", "video": "vision", "audio": "audio", "text": "text"}
PROJECTIONS = {"image": "visual_projection", "video": "visual_projection", "audio": "audio_projection",
               "text": "text_projection"}  # fmt: skip


class Tower(nn.Module, ABC):
    """What all have in common: which part of the model is used, what is tuned, and how its outputs get their width."""

    def __init__(self, modality: str, spec: Spec, model: nn.Module):
        super().__init__()
        whole: Any = model.config
        self.kind = str(whole.model_type)
        self.tune = spec.tune
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

    def freeze(self) -> None:
        """Leaves a gradient to the tuned part alone, and to nothing that never gets one."""
        frozen = [self.tower, self.project] if self.shared else [self.tower]
        for part in frozen:
            part.requires_grad_(self.tune < 0)
        if self.tune > 0:
            lists = [part for part in self.tower.modules() if isinstance(part, nn.ModuleList)]
            layers = max(reversed(lists), key=len)  # of equally long ones the last: the first may be a stem
            for layer in layers[-self.tune :]:
                layer.requires_grad_(True)
        self.train()
        if self.tune:
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
            if not self.tune or isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.training = False
        return self

    def run(self, **inputs: Any) -> Any:
        """The tower's output, without gradient where it is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.tune != 0):
            return self.tower(**inputs)

    def widened(self, maps: Tensor) -> Tensor:
        """Projects axis 1 of [B, C, ...] to D."""
        projected: Tensor = self.project(maps.movedim(1, -1))
        return projected.movedim(-1, 1)


class ImageTower(Tower):
    """A vision model: patch tokens without class and register tokens are the map."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, modality: str, spec: Spec, model: nn.Module):
        super().__init__(modality, spec, model)
        size = getattr(self.config, "image_size", 224)
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        mean, deviation = hub.colors(spec.path, modality)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1), persistent=False)

    def example(self) -> Tensor:
        """One picture."""
        return torch.zeros(1, 3, 16, 16)

    def pixels(self, x: Tensor) -> Tensor:
        """uint8 or float 0..1 [..., 3, H, W] -> at the tower's size, with its own mean and deviation."""
        x = x.float() / 255 if x.dtype == torch.uint8 else x
        flat = F.interpolate(x.flatten(0, -4), self.size, mode="bilinear", antialias=True, align_corners=False)
        scaled: Tensor = (flat - self.mean) / self.deviation
        return scaled.reshape(*x.shape[:-2], *self.size)

    def forward(self, x: Tensor) -> Features:
        """x [B, 3, H, W] -> vector [B, D], map [B, D, h, w]."""
        out = self.run(pixel_values=self.pixels(x))
        tokens = out.last_hidden_state
        if tokens.ndim == 3:
            if self.shared and not self.kind.startswith("siglip") and hasattr(self.tower, "post_layernorm"):
                tokens = self.tower.post_layernorm(tokens)  # type: ignore[operator]
            h, w = self.grid(tokens.shape[1])
            tokens = tokens[:, -h * w :].transpose(1, 2).unflatten(2, (h, w))
        maps = self.widened(tokens)
        return Features(self.project(out.pooler_output) if self.shared else maps.mean((2, 3)), (maps,))

    def grid(self, tokens: int) -> tuple[int, int]:
        """Patches along height and width, class and register tokens come first."""
        patch = getattr(self.config, "patch_size", 0)
        if isinstance(patch, int) and patch and self.size[0] // patch * (self.size[1] // patch) <= tokens:
            return self.size[0] // patch, self.size[1] // patch
        side = math.isqrt(tokens)
        if side * side != tokens:
            raise ValueError(f"encoders: {self.kind} gives {tokens} tokens, which are no square of patches")
        return side, side


class FramesTower(ImageTower):
    """A vision model on every frame; the vector is the mean over frames."""

    def forward(self, x: Tensor) -> Features:
        """x [B, T, 3, H, W] -> vector [B, D], map [B, D, T, h, w]."""
        each = super().forward(x.flatten(0, 1))
        maps = each.maps[-1].unflatten(0, x.shape[:2]).transpose(1, 2)
        return Features(each.vector.unflatten(0, x.shape[:2]).mean(1), (maps,))

    def example(self) -> Tensor:
        """One frame."""
        return torch.zeros(1, 1, 3, 16, 16)


class ClipTower(ImageTower):
    """A video model; frames are repeated or left out until it has as many as it takes."""

    def __init__(self, modality: str, spec: Spec, model: nn.Module):
        super().__init__(modality, spec, model)
        self.size = (self.config.crop_size, self.config.crop_size) if self.kind == "vjepa2" else self.size
        self.frames = int(self.config.frames_per_clip if self.kind == "vjepa2" else self.config.num_frames)

    def example(self) -> Tensor:
        """One clip of one frame."""
        return torch.zeros(1, 1, 3, 16, 16)

    def forward(self, x: Tensor) -> Features:
        """x [B, T, 3, H, W] -> vector [B, D], map [B, D, T', h, w]; T' are the tower's own steps."""
        chosen = torch.linspace(0, x.shape[1] - 1, self.frames, device=x.device).round().long()
        pixels = self.pixels(x[:, chosen])
        if self.kind == "vjepa2":
            tokens = self.run(pixel_values_videos=pixels, skip_predictor=True).last_hidden_state
        else:
            tokens = self.run(pixel_values=pixels).last_hidden_state
        patch = (
            self.config.tubelet_size if self.kind == "vivit" else (0, self.config.patch_size, self.config.patch_size)
        )
        h, w = self.size[0] // patch[1], self.size[1] // patch[2]
        steps = tokens.shape[1] // (h * w)  # a class token is less than one step
        tokens = tokens[:, -steps * h * w :].transpose(1, 2)  # [B, C, T' h w]
        if self.kind == "timesformer":  # places first, then frames
            maps = tokens.unflatten(2, (h, w, steps)).permute(0, 1, 4, 2, 3)
        else:
            maps = tokens.unflatten(2, (steps, h, w))
        maps = self.widened(maps)
        return Features(maps.mean((2, 3, 4)), (maps,))


class SoundTower(Tower):
    """AST, CLAP, Wav2Vec2, HuBERT, WavLM or Whisper's encoder on waveforms."""

    def __init__(self, modality: str, spec: Spec, model: nn.Module, hz: int):
        super().__init__(modality, spec, model)
        from transformers import AutoFeatureExtractor

        try:
            self.extractor = AutoFeatureExtractor.from_pretrained(spec.path)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"encoders.audio.path: no preprocessor_config.json in {spec.path}: {hub.line(error)}"
            ) from None
        if self.kind.startswith("clap"):
            fused = bool(getattr(self.config, "enable_fusion", False))
            self.extractor.truncation = "fusion" if fused else "rand_trunc"
        self.hz = hz

    def example(self) -> Tensor:
        """A second of silence."""
        return torch.zeros(1, self.hz)

    def forward(self, x: Tensor) -> Features:
        """x float32 [B, S] -> vector [B, D], map [B, D, t] over the sound, without padding."""
        if x.ndim != 2:
            raise ValueError("inputs.audio: pretrained sound towers take waveforms; set inputs.audio=wave")
        rate = int(self.extractor.sampling_rate)
        if rate != self.hz:
            from torchaudio.functional import resample

            x = resample(x, self.hz, rate)
        made, share = prepare(self.kind, self.extractor, x)
        if self.kind.startswith("clap"):
            out = self.run(input_features=made, is_longer=torch.zeros(len(x), 1, dtype=torch.bool, device=x.device))
            maps = out.last_hidden_state.mean(2)  # [B, C, t], the middle axis are bands
        else:
            name = {"whisper": "input_features"}.get(self.kind, "input_values")
            out = self.run(**{name: made})
            maps = out.last_hidden_state.transpose(1, 2)
        if self.kind == "audio-spectrogram-transformer":  # two class tokens, then bands x time
            bands = (self.config.num_mel_bins - self.config.patch_size) // self.config.frequency_stride + 1
            maps = maps[..., 2:].unflatten(2, (bands, -1)).mean(2)
        maps = self.widened(maps[..., : max(1, math.ceil(maps.shape[2] * share))])
        return Features(self.project(out.pooler_output) if self.shared else maps.mean(2), (maps,))


class TextTower(Tower):
    """A text model; the vector is the mean over real tokens, and a learned one for a text without a token."""

    def __init__(self, modality: str, spec: Spec, model: nn.Module):
        super().__init__(modality, spec, model)
        self.padding = int(getattr(self.config, "pad_token_id", 0) or 0)
        self.empty = nn.Parameter(torch.randn(spec.width) * 0.02)

    def example(self) -> Tensor:
        """One text of two tokens."""
        return torch.tensor([[0, 1]])

    def forward(self, tokens: Tensor) -> Features:
        """tokens int64 [B, L], padded with -1 -> vector [B, D], map [B, D, L] (zero where padded)."""
        real = tokens >= 0  # [B, L]
        ids = tokens.masked_fill(~real, self.padding)
        seen = real.clone()
        seen[:, 0] |= ~real.any(1)  # attention over nothing is not a number
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": seen.long()}
        if self.kind.startswith("siglip"):  # trained on texts filled up to the full length, its vector is at the end
            room = self.config.max_position_embeddings - ids.shape[1]
            inputs = {"input_ids": F.pad(ids, (0, room), value=self.padding)}
        out = self.run(**inputs)
        maps = self.widened(out.last_hidden_state[:, : tokens.shape[1]].transpose(1, 2)) * real[:, None]
        count = real.sum(1, keepdim=True)
        vector = self.project(out.pooler_output) if self.shared else maps.sum(2) / count.clamp_min(1)
        return Features(torch.where(count > 0, vector, self.empty), (maps,))


def _encoder(modality: str, model: nn.Module) -> nn.Module:
    """The part of an encoder-decoder that sees the input."""
    encoder = getattr(model, "encoder", None)
    if getattr(model, "decoder", None) is not None and isinstance(encoder, nn.Module) and modality in ("audio", "text"):
        return encoder
    return model
