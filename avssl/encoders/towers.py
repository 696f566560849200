"""Pretrained towers as encoders: one class for each way a model takes its input and lays out its tokens."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avssl.encoders import Features, Spec, hub
from avssl.encoders.sound_features import prepare
from avssl.encoders.tower import Tower


class ImageTower(Tower):
    """A vision model: patch tokens without class and register tokens are the map."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, modality: str, spec: Spec, model: nn.Module, path: str):
        super().__init__(modality, spec, model)
        size = getattr(self.config, "image_size", 224)
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if self.kind.startswith("dinov2"):  # its settings tell the size it was trained on last, not what it is given
            self.size = hub.crop(path) or self.size
        mean, deviation = hub.colors(path, modality)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1), persistent=False)

    def about(self) -> dict[str, Any]:
        """With its colors and size."""
        colors = [self.mean.flatten().tolist(), self.deviation.flatten().tolist()]
        return {**super().about(), "colors": colors, "size": self.size}

    def example(self) -> Tensor:
        """One picture."""
        return torch.zeros(1, 3, 16, 16)

    def pixels(self, x: Tensor) -> Tensor:
        """uint8 or float 0..1 [..., 3, H, W] -> at the tower's size, with its own mean and deviation."""
        x = x.float() / 255 if x.dtype == torch.uint8 else x
        flat = F.interpolate(x.flatten(0, -4), self.size, mode="bilinear", antialias=True, align_corners=False)
        scaled: Tensor = (flat - self.mean) / self.deviation
        return scaled.reshape(*x.shape[:-2], *self.size)

    def look(self, x: Tensor) -> tuple[Tensor, ...]:
        """x [B, 3, H, W] -> [B, C, h, w]."""
        out = self.run(pixel_values=self.pixels(x))
        tokens = out.last_hidden_state
        if tokens.ndim == 3:
            if self.shared and not self.kind.startswith("siglip") and hasattr(self.tower, "post_layernorm"):
                tokens = self.tower.post_layernorm(tokens)  # type: ignore[operator]
            h, w = self.grid(tokens.shape[1])
            tokens = tokens[:, -h * w :].transpose(1, 2).unflatten(2, (h, w))
        return (tokens, out.pooler_output) if self.shared else (tokens,)

    def forward(self, x: Tensor) -> Features:
        """x [B, 3, H, W] -> vector [B, D], map [B, D, h, w]."""
        tokens, *pooled = self.seen(x)
        maps = self.widened(tokens)
        return Features(self.project(pooled[0]) if pooled else maps.mean((2, 3)), (maps,))

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
    """A video model; frames are repeated or left out until it has as many as it takes.

    Its map has a step for every ``time_stride`` of the frames that came in, however many it looked at.
    """

    def __init__(self, modality: str, spec: Spec, model: nn.Module, path: str):
        super().__init__(modality, spec, model, path)
        self.size = (self.config.crop_size, self.config.crop_size) if self.kind == "vjepa2" else self.size
        self.frames = int(self.config.frames_per_clip if self.kind == "vjepa2" else self.config.num_frames)
        tubelet: Any = getattr(self.config, "tubelet_size", 1)
        self.time_stride = int(tubelet[0] if isinstance(tubelet, (list, tuple)) else tubelet)

    def example(self) -> Tensor:
        """One clip of one frame."""
        return torch.zeros(1, 1, 3, 16, 16)

    def look(self, x: Tensor) -> tuple[Tensor, ...]:
        """x [B, T, 3, H, W] -> [B, C, T', h, w]; T' are the tower's own steps."""
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
            return (tokens.unflatten(2, (h, w, steps)).permute(0, 1, 4, 2, 3),)
        return (tokens.unflatten(2, (steps, h, w)),)

    def forward(self, x: Tensor) -> Features:
        """x [B, T, 3, H, W] -> vector [B, D], map [B, D, T', h, w] with T' = ceil(T / time_stride)."""
        maps = self.widened(self.seen(x)[0])
        wanted = -(-x.shape[1] // self.time_stride)
        middles = (torch.arange(wanted, device=x.device) + 0.5) / wanted
        steps = (middles * maps.shape[2]).long()
        return Features(maps.mean((2, 3, 4)), (maps[:, :, steps],))


class SoundTower(Tower):
    """AST, CLAP, Wav2Vec2, HuBERT, WavLM or Whisper's encoder on waveforms."""

    def __init__(self, modality: str, spec: Spec, model: nn.Module, path: str, hz: int):
        super().__init__(modality, spec, model)
        self.extractor = hub.extractor(path)
        if self.kind.startswith("clap"):
            fused = bool(getattr(self.config, "enable_fusion", False))
            self.extractor.truncation = "fusion" if fused else "rand_trunc"
        self.hz = hz

    def about(self) -> dict[str, Any]:
        """With what makes its input of a wave."""
        return {**super().about(), "extractor": self.extractor.to_dict(), "hz": self.hz}

    def example(self) -> Tensor:
        """A second of silence."""
        return torch.zeros(1, self.hz)

    def look(self, x: Tensor) -> tuple[Tensor, ...]:
        """x float32 [B, S] -> [B, C, t] over the sound, without padding."""
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
        maps = maps[..., : max(1, math.ceil(maps.shape[2] * share))]
        return (maps, out.pooler_output) if self.shared else (maps,)

    def forward(self, x: Tensor) -> Features:
        """x float32 [B, S] -> vector [B, D], map [B, D, t]."""
        heard, *pooled = self.seen(x)
        maps = self.widened(heard)
        return Features(self.project(pooled[0]) if pooled else maps.mean(2), (maps,))


class TextTower(Tower):
    """A text model; the vector is the mean over real tokens, and a learned one for a text without a token."""

    def __init__(self, modality: str, spec: Spec, model: nn.Module):
        super().__init__(modality, spec, model)
        self.padding = int(getattr(self.config, "pad_token_id", 0) or 0)
        self.empty = nn.Parameter(torch.randn(spec.width) * 0.02)

    def example(self) -> Tensor:
        """One text of two tokens."""
        return torch.tensor([[0, 1]])

    def look(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """tokens int64 [B, L], padded with -1 -> [B, C, L]."""
        real = tokens >= 0  # [B, L]
        ids = tokens.masked_fill(~real, self.padding)
        seen = real.clone()
        seen[:, 0] |= ~real.any(1)  # attention over nothing is not a number
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": seen.long()}
        if self.kind.startswith("siglip"):  # trained on texts filled up to the full length, its vector is at the end
            room = self.config.max_position_embeddings - ids.shape[1]
            inputs = {"input_ids": F.pad(ids, (0, room), value=self.padding)}
        out = self.run(**inputs)
        hidden = out.last_hidden_state[:, : tokens.shape[1]].transpose(1, 2)
        return (hidden, out.pooler_output) if self.shared else (hidden,)

    def forward(self, tokens: Tensor) -> Features:
        """tokens int64 [B, L], padded with -1 -> vector [B, D], map [B, D, L] (zero where padded)."""
        real = tokens >= 0  # [B, L]
        hidden, *pooled = self.seen(tokens)
        maps = self.widened(hidden) * real[:, None]
        count = real.sum(1, keepdim=True)
        vector = self.project(pooled[0]) if pooled else maps.sum(2) / count.clamp_min(1)
        return Features(torch.where(count > 0, vector, self.empty), (maps,))
