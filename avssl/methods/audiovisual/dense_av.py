"""Of all sounds in the batch, tell which one this clip makes, by the places and moments that agree with it.

Mark Hamilton, Andrew Zisserman, John R. Hershey, William T. Freeman: Separating the "Chirp" from the "Chat":
Self-supervised Visual Grounding of Sound and Language, CVPR 2024, arXiv:2406.05629.

Deviations: a smooth maximum over places (a hard one learns late); silence and noise are further negatives, and a
logistic term puts all scores on one scale, so that one threshold serves every recording; both sides are trained;
heads' vectors are unit; regularizers are off unless asked for, and none is told what is speech.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avssl import encoders as towers
from avssl import ops, views
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.methods.sounding import ListeningConfig, WithStretch, regularizers
from avssl.nn.contrast import Temperature, info_nce, retrieval_accuracy
from avssl.nn.dense import Calibration, at_steps, frame_shares, per_frame, place_then_time, unheard
from avssl.nn.gather import gather, own_rows
from avssl.nn.listening import by_head, head_maps, spliced, unit_heads
from avssl.sample import Needs


class Config(ListeningConfig):
    """DenseAV; defaults are the paper's where it has them."""

    width: int = Field(128, ge=1)
    """D, the width in which sound and places are compared, all heads together (384 in the paper)"""
    heads: int = Field(1, ge=1)
    """K, parts of the width with a map each; a place scores what its best head scores"""
    moments: bool = True
    """compare sound and picture moment by moment; else the sound is one vector for the whole window"""
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
        if cfg.width % cfg.heads:
            raise ValueError(f"method.width={cfg.width} is no multiple of method.heads={cfg.heads}; heads share it")
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
        """Gives ``video``, ``audio``, ``noise``, and ``stretch`` where sounds are spliced."""
        return WithStretch(inputs) if cfg.splice else views.ClipAndSound(inputs)

    def seen(self, video: Tensor) -> Tensor:
        """video uint8 [B, T, 3, H, W] -> each head's unit vectors [B, T', D, h, w]."""
        maps = self.encoders["video"](video).maps[-1].movedim(1, 4)  # [B, T', h, w, C]
        return unit_heads(self.video_head(maps).movedim(4, 2), self.cfg.heads)

    def heard(self, audio: Tensor, steps: int) -> Tensor:
        """audio [B, M, F] -> each head's unit vectors [B, steps, D]."""
        found = self.timed(self.audio_head(self.encoders["audio"](audio).maps[-1]), audio, steps)
        found = found if self.cfg.moments else found.mean(2, True).expand_as(found)
        return unit_heads(found.transpose(1, 2), self.cfg.heads)

    def timed(self, x: Tensor, audio: Tensor, steps: int) -> Tensor:
        """What was made of sounds [B, M, F], [B, D, t] -> its means at the video's steps, [B, D, steps]."""
        return at_steps(x.float(), steps, self.inputs.filled(audio, steps, self.time_stride))

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """InfoNCE both ways between clips and sounds; silence and noise are sounds that no clip makes."""
        cfg, seen, recording = self.cfg, self.seen(batch["video"]), gather(batch["recording"])
        sounds, count, steps, foreign = batch["audio"], len(recording), seen.shape[1], None
        if cfg.splice:
            whole, foreign = spliced(gather(sounds), recording, gather(batch["stretch"]))
            sounds, foreign = own_rows(whole, len(sounds)), self.timed(foreign[:, None], sounds, steps)[:, 0]
        wanted = slice(0 if cfg.negatives else -1, None if cfg.negatives or cfg.silence else 0)
        extra = unheard(batch["noise"], self.inputs.silence)[wanted]
        own_sounds, extra = self.heard(torch.cat([sounds, extra]), steps).tensor_split([len(seen)])
        volume = by_head(gather(seen), torch.cat([gather(own_sounds), extra]), cfg.heads)
        own = torch.eye(count, dtype=torch.bool, device=volume.device)
        terms = regularizers(cfg, volume, volume[:, :count][own], foreign, cfg.temperature * self.temperature())
        volume = volume if cfg.negatives else volume[:, :count]
        similarity = place_then_time(volume.amax(2), cfg.sharpness)  # [B, B + X]
        same, more = recording[:, None] == recording, (0, similarity.shape[1] - count)
        logits = similarity * self.temperature()
        terms["contrast"] = info_nce(logits[:, :count], same, logits[:, count:])
        terms["calibration"] = self.calibration(similarity, F.pad(own, more), F.pad(~same | own, more, value=True))
        loss = sum((getattr(cfg, name, 1.0) * term for name, term in terms.items()), similarity.new_zeros(()))
        return Step(loss, detached({**terms, "accuracy": retrieval_accuracy(logits[:, :count])}))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]: means over time (and places) of the unit vectors that training compares."""
        if space == "main" and modality == "video":
            return ops.unit(self.seen(x).mean((1, 3, 4)))
        if space == "main" and modality == "audio":
            return ops.unit(self.heard(x, self.inputs.steps(x, self.time_stride)).mean(1))
        raise self.no_space(modality, space)

    def places(self, video: Tensor) -> Tensor:
        """Each place's vectors one behind the other, as often as their step has frames, [B, h, w, T' D]."""
        if self.cfg.heads > 1:
            raise ValueError(f"{self.cfg.name} with {self.cfg.heads} heads has no one vector per place to index")
        seen = self.seen(video)
        return (seen * frame_shares(seen, video.shape[1], self.time_stride)).permute(0, 3, 4, 1, 2).flatten(3)

    def sought(self, query: Tensor, modality: str) -> Tensor:
        """A sound's moments one behind the other, [B, T' D]."""
        if modality != "audio":
            raise ValueError(f"{self.cfg.name} localizes audio, not {modality}")
        return self.heard(query, self.inputs.steps(query, self.time_stride)).flatten(1)

    def heads(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """Each head's cosine of the sound and every place, [B, K, T, h, w]."""
        if modality != "audio":
            raise ValueError(f"{self.cfg.name} localizes audio, not {modality}")
        seen = self.seen(video)
        scores = head_maps(seen, self.heard(query, seen.shape[1]), self.cfg.heads)
        return per_frame(scores, video.shape[1], self.time_stride).transpose(1, 2)

    def localize(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """The best head's cosine of the sound and every place, [B, T, h, w]."""
        return self.heads(video, query, modality).amax(1)
