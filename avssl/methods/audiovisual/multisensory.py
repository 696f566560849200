"""Say whether the sound of a clip is in its place or moved by some time, from pictures and sound joined early.

Andrew Owens, Alexei A. Efros: Audio-Visual Scene Analysis with Self-Supervised Multisensory Features, ECCV 2018,
arXiv:1804.03641.

Sound and picture are joined step by step and place by place; what follows sees both, over places and time. The places
that say "in its place" are where the sound is (a class activation map).

Deviations: the shift is at most what the longer window leaves, and within the recording's own sound; a clip whose
shifted sound is the same as the true one (silence, a hum) is left out: nothing tells which of the two it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.encoders.image import normalization
from avssl.encoders.video import OverTime
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.dense import per_frame
from avssl.nn.gather import gather
from avssl.sample import Needs, Sample


class Config(MethodConfig):
    """Aligned or shifted."""

    least_seconds: float = Field(0.5, gt=0)
    """by which a sound is shifted at least"""
    most_seconds: float = Field(2.0, gt=0)
    """by which a sound is shifted at most"""
    width: int = Field(128, ge=1)
    """of the joined features"""
    blocks: int = Field(2, ge=1)
    """of convolutions over places and time after sound and picture are joined"""
    different: float = Field(0.05, ge=0)
    """least mean difference of two sounds' levels (silence is -1, loud about 1), in eight bands every 50 ms; rain moved
    by a second differs by 0.03, speech by 0.4"""


class Shifted:
    """video [T, 3, H, W], audio [M, F] of the same time, shifted [M, F] of another, counts: whether they differ."""

    def __init__(self, cfg: Config, inputs: Inputs):
        if cfg.most_seconds < cfg.least_seconds:
            raise ValueError(f"method.most_seconds={cfg.most_seconds:g} is below least_seconds={cfg.least_seconds:g}")
        self.cfg = cfg
        self.windows = views.Apart(inputs, cfg.most_seconds)
        self.least = min(self.windows.room, max(1, round(cfg.least_seconds * inputs.cfg.fps)))

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Late and early are as likely, and both sounds are as likely at every place of the longer window."""
        late = self.least + views.integer(generator, self.windows.room - self.least + 1)
        seen, other = self.windows.begins(generator, late if views.chance(generator, 0.5) else -late)
        video = self.windows.picture(sample, seen, generator)
        wave = views.gain(sample.audio[0], generator)  # once: a level must not tell the two apart
        sounds = [self.windows.cut(wave, begin) for begin in (seen, other)]
        levels = [ops.log_mel(sound, self.windows.inputs.cfg.hz, 8, 0.05, 0.05) for sound in sounds]
        counts = (levels[0] - levels[1]).abs().mean() > self.cfg.different
        own, moved = (self.windows.inputs.audio(sound) for sound in sounds)
        return {"video": video, "audio": own, "shifted": moved, "counts": counts}


class Joined(nn.Module):
    """One block: a convolution over places, one over time, added to what came in; [B, D, T, h, w] -> the same."""

    def __init__(self, width: int, norm: str):
        super().__init__()
        self.places = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = normalization(norm, width)
        self.time = OverTime(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, T, h, w] -> [B, D, T, h, w]."""
        each = x.transpose(1, 2).flatten(0, 1)  # [B * T, D, h, w]
        each = F.relu(self.norm(self.places(each))).unflatten(0, (len(x), -1)).transpose(1, 2)
        mixed: Tensor = F.relu(x + self.time(each))
        return mixed


class Multisensory(Method[Config]):
    """Two encoders, joined features, one logit that is a mean over places and time."""

    modalities = ("video", "audio")
    localizes = ("audio",)

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        width = {kind: towers.width(encoders[kind]) for kind in self.modalities}
        self.join = nn.ModuleDict({kind: nn.Conv3d(size, cfg.width, 1) for kind, size in width.items()})
        self.blocks = nn.Sequential(*(Joined(cfg.width, "place") for _ in range(cfg.blocks)))
        self.aligned = nn.Linear(cfg.width, 1)
        self.spaces = {"main": Space(("video",), width["video"]), "sound": Space(("audio",), width["audio"])}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A window that is longer by the greatest shift."""
        return views.Apart(inputs, cfg.most_seconds).needs()

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio``, ``shifted`` and ``counts``."""
        return Shifted(cfg, inputs)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Binary cross-entropy: each clip with its sound, and with the shifted one."""
        seen = self.encoders["video"](batch["video"]).maps[-1]
        heard = self.encoders["audio"](torch.cat([batch["audio"], batch["shifted"]])).maps[-1]
        true, false = (gather(self.map(seen, x).mean((1, 2, 3))) for x in heard.tensor_split(2))
        counts = gather(batch["counts"].float())
        share = 0.5 * counts / counts.sum().clamp_min(1)
        right = (share * ((true > 0).float() + (false < 0).float())).sum()
        loss = (share * (F.softplus(-true) + F.softplus(false))).sum()
        return Step(loss, detached({"accuracy": right, "different": counts.mean()}))

    def map(self, seen: Tensor, heard: Tensor) -> Tensor:
        """Maps of pictures [B, C, T', h, w] and of sounds [B, C, t] -> log-odds [B, T', h, w], whose mean counts."""
        sound = F.adaptive_avg_pool1d(heard.float(), seen.shape[2])[..., None, None]
        joined = F.relu(self.join["video"](seen) + self.join["audio"](sound))
        scores: Tensor = self.aligned(self.blocks(joined).movedim(1, 4))[..., 0].float()
        return scores

    def in_step(self, video: Tensor, audio: Tensor) -> Tensor:
        """From -1, surely shifted, to 1, surely not."""
        seen, heard = self.encoders["video"](video).maps[-1], self.encoders["audio"](audio).maps[-1]
        odds = [self.map(one.expand(len(heard), -1, -1, -1, -1), heard).mean((1, 2, 3)) for one in seen[:, None]]
        return 2 * torch.stack(odds).sigmoid() - 1

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D] of what is there before both are joined: clips in ``main``, sounds in ``sound``."""
        if space not in self.spaces or modality not in self.spaces[space].modalities:
            raise self.no_space(modality, space)
        return ops.unit(self.encoders[modality](x).vector)

    def localize(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """How much each place says that the sound is in its place, [B, T, h, w]."""
        if modality not in self.localizes:
            raise ValueError(f"{self.cfg.name} localizes audio, not {modality}")
        found = self.map(self.encoders["video"](video).maps[-1], self.encoders["audio"](query).maps[-1])
        return per_frame(found, video.shape[1], getattr(self.encoders["video"], "time_stride", 1))
