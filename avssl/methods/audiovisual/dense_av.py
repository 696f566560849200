"""Of all sounds in the batch, tell which one this clip makes, by the places and moments that agree with it.

Mark Hamilton, Andrew Zisserman, John R. Hershey, William T. Freeman: Separating the "Chirp" from the "Chat":
Self-supervised Visual Grounding of Sound and Language, CVPR 2024, arXiv:2406.05629.

Deviations: a smooth maximum over places (a hard one learns late); one head; silence and noise are further negatives,
and a logistic term puts all scores on one scale, so that one threshold serves every recording; both sides are trained.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.contrast import Temperature, info_nce, retrieval_accuracy
from avssl.nn.dense import Calibration, at_steps, frame_shares, per_frame, place_then_time, similarity_volume, unheard
from avssl.nn.gather import gather
from avssl.sample import Needs


class Config(MethodConfig):
    """DenseAV; defaults are the paper's where it has them."""

    width: int = Field(128, ge=1)
    """D, the width in which sound and places are compared (384 in the paper)"""
    temperature: float = Field(0.07, gt=0)
    """where the learned temperature starts"""
    sharpness: float = Field(10.0, gt=0)
    """of the smooth maximum over places, on cosines"""
    calibration: float = Field(0.1, ge=0)
    """weight of the logistic term"""
    negatives: bool = True
    """silence and noise are negatives of every clip"""


class DenseAV(Method[Config]):
    """Similarity volume over time and place, InfoNCE on its aggregate."""

    modalities = ("video", "audio")
    localizes = ("audio",)

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.video_head = nn.Linear(towers.width(encoders["video"]), cfg.width)
        self.audio_head = nn.Conv1d(towers.width(encoders["audio"]), cfg.width, 1)
        self.temperature = Temperature(cfg.temperature)
        self.time_stride: int = getattr(encoders["video"], "time_stride", 1)
        self.calibration = Calibration()
        self.spaces = {"main": Space(("video", "audio"), cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip and its sound."""
        return inputs.needs(audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio``, ``noise``."""
        return views.ClipAndSound(inputs)

    def seen(self, video: Tensor) -> Tensor:
        """video uint8 [B, T, 3, H, W] -> unit vectors [B, T', D, h, w]."""
        maps = self.encoders["video"](video).maps[-1].movedim(1, 4)  # [B, T', h, w, C]
        return ops.unit(self.video_head(maps).movedim(4, 2), 2)

    def heard(self, audio: Tensor, steps: int) -> Tensor:
        """audio [B, M, F] -> unit vectors [B, steps, D]."""
        maps = self.audio_head(self.encoders["audio"](audio).maps[-1])
        filled = self.inputs.audio_seconds(audio) * self.inputs.cfg.fps / (steps * self.time_stride)
        return ops.unit(at_steps(maps.float(), steps, filled).transpose(1, 2))

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """InfoNCE both ways between clips and sounds; silence and noise are sounds that no clip makes."""
        seen = self.seen(batch["video"])
        extra = unheard(batch["noise"], self.inputs.silence) if self.cfg.negatives else batch["noise"][:0]
        own_sounds, extra = self.heard(torch.cat([batch["audio"], extra]), seen.shape[1]).tensor_split([len(seen)])
        count = len(gather(batch["index"]))
        seen, heard = gather(seen), torch.cat([gather(own_sounds), extra])
        similarity = place_then_time(similarity_volume(seen, heard), self.cfg.sharpness)  # [B, B + X]
        recording = gather(batch["recording"])
        own = torch.eye(count, dtype=torch.bool, device=similarity.device)
        same = recording[:, None] == recording
        logits = similarity * self.temperature()
        contrast = info_nce(logits[:, :count], same, logits[:, count:])
        true = F.pad(own, (0, similarity.shape[1] - count))
        valid = F.pad(~same | own, (0, similarity.shape[1] - count), value=True)
        calibration = self.calibration(similarity, true, valid)
        metrics = {"contrast": contrast, "calibration": calibration, "accuracy": retrieval_accuracy(logits[:, :count])}
        return Step(contrast + self.cfg.calibration * calibration, detached(metrics))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]: means over time (and places) of the unit vectors that training compares."""
        if space == "main" and modality == "video":
            return ops.unit(self.seen(x).mean((1, 3, 4)))
        if space == "main" and modality == "audio":
            return ops.unit(self.heard(x, self.steps(x)).mean(1))
        raise self.no_space(modality, space)

    def places(self, video: Tensor) -> Tensor:
        """Each place's vectors one behind the other, as often as their step has frames, [B, h, w, T' D]."""
        seen = self.seen(video)
        return (seen * frame_shares(seen, video.shape[1], self.time_stride)).permute(0, 3, 4, 1, 2).flatten(3)

    def sought(self, query: Tensor, modality: str) -> Tensor:
        """A sound's moments one behind the other, [B, T' D]."""
        if modality != "audio":
            raise ValueError(f"{self.cfg.name} localizes audio, not {modality}")
        return self.heard(query, self.steps(query)).flatten(1)

    def steps(self, audio: Tensor) -> int:
        """Of the video encoder over a window as long as this sound [B, M, F]."""
        frames = round(self.inputs.audio_seconds(audio) * self.inputs.cfg.fps)
        return max(1, -(-frames // self.time_stride))

    def localize(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """Cosine of the sound and every place, [B, T, h, w]."""
        if modality != "audio":
            raise ValueError(f"{self.cfg.name} localizes audio, not {modality}")
        seen = self.seen(video)
        scores = torch.einsum("btdhw,btd->bthw", seen, self.heard(query, seen.shape[1]))
        return per_frame(scores, video.shape[1], self.time_stride)
