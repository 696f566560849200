"""Say by which of 21 offsets the sound of a clip has been moved against its picture.

Vladimir Iashin, Weidi Xie, Esa Rahtu, Andrew Zisserman: Synchformer: Efficient Synchronization from Sparse Cues,
ICASSP 2024, arXiv:2401.16423 (its second stage, offsets as classes).

Deviations: one stage, from scratch, and no transformer: an offset's logit is the correlation of what is seen with what
is heard that much later, so that a small folder teaches it in minutes. The sound is longer than the picture by the
greatest offset on either side: every offset is judged over the whole picture, and no silent edge gives one away. Clips
in which nothing is heard fit at every offset alike: they are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Step, Transform, detached
from avssl.nn.contrast import Temperature
from avssl.nn.dense import window_unit
from avssl.nn.gather import gather
from avssl.sample import Needs, Sample


class Config(MethodConfig):
    """Offsets; their number is the paper's."""

    offsets: int = Field(21, ge=3)
    """K, an odd number: as many late as early"""
    step_pictures: int = Field(1, ge=1)
    """pictures from one offset to the next (0.2 s in the paper)"""
    width: int = Field(64, ge=1)
    """E, of what is compared at each moment"""
    temperature: float = Field(0.1, gt=0)
    """where the learned scale of the correlations starts"""


def reach(cfg: Config) -> int:
    """The greatest offset, in pictures."""
    return cfg.offsets // 2 * cfg.step_pictures


class Moved:
    """Pictures somewhere inside a longer sound: video [T, 3, H, W], audio [M, F], offset int64 of K, heard."""

    def __init__(self, cfg: Config, inputs: Inputs):
        self.cfg = cfg
        self.inputs = inputs

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Every offset is as likely: the further in the pictures begin, the later is the sound."""
        drawn = views.integer(generator, self.cfg.offsets)
        video = sample.video[0][drawn * self.cfg.step_pictures :][: self.inputs.cfg.frames]
        video = views.contrast(views.flip(views.shift(video, generator), generator), generator)
        audio = self.inputs.audio(views.gain(sample.audio[0], generator))
        told = {"offset": torch.tensor(drawn), "heard": torch.tensor(not ops.is_silent(sample.audio))}
        return {"video": video, "audio": audio, **told}

    def words(self, example: Batch) -> dict[str, str]:
        """The offset in seconds."""
        late = (int(example["offset"]) * self.cfg.step_pictures - reach(self.cfg)) / self.inputs.cfg.fps
        return {"offset": f"the sound is {abs(late):.2f} s {'late' if late > 0 else 'early'}" if late else "in step"}


def meets(pictures: int, steps: int, moments: int, starts: tuple[float, ...], whole: int) -> Tensor:
    """What each step of the picture hears at each offset, as shares of the sound's moments, [K, T', t].

    Args:
        pictures: T, as many as the steps cover together.
        steps: T' of the picture.
        moments: t of the sound.
        starts: in pictures, where in the sound the picture begins at each of K offsets.
        whole: pictures that the sound is long.
    """
    length = pictures / steps
    low = torch.tensor(starts)[:, None, None] + length * torch.arange(steps)[:, None]  # [K, T', 1]
    edges = torch.arange(moments + 1) * (whole / moments)
    return (torch.minimum(low + length, edges[1:]) - torch.maximum(low, edges[:-1])).clamp_min(0) / length


class SyncOffset(Method[Config]):
    """Two courses, one correlation for each offset."""

    modalities = ("video", "audio")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        inputs.same_seconds("the sound is as much longer than the pictures as the offsets need")
        if cfg.offsets % 2 == 0:
            raise ValueError(f"method.offsets={cfg.offsets}: an odd number is needed, as many late as early and none")
        channels = towers.width(encoders["video"])
        # no biases: neither attention nor what has its mean removed can feel one
        self.attention = nn.Linear(channels, 1, bias=False)
        self.video_head = nn.Linear(channels, cfg.width, bias=False)
        self.audio_head = nn.Linear(towers.width(encoders["audio"]), cfg.width, bias=False)
        self.scale = Temperature(cfg.temperature)
        self.starts = tuple(float(k * cfg.step_pictures) for k in range(cfg.offsets))
        self.offsets = tuple((start - reach(cfg)) / inputs.cfg.fps for start in self.starts)

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A window that is longer by the greatest offset, at both ends."""
        frames = inputs.cfg.frames + 2 * reach(cfg)
        return inputs.needs(frames=frames, audio_seconds=frames / inputs.cfg.fps)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio``, ``offset`` and ``heard``."""
        return Moved(cfg, inputs)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy over offsets, of the clips in which something is heard."""
        logits, offset = gather(self.logits(batch["video"], batch["audio"])), gather(batch["offset"])
        heard = gather(batch["heard"].float())
        share = heard / heard.sum().clamp_min(1)  # of each clip in the means
        off = (logits.argmax(1) - offset).abs().float()
        told = {"accuracy": ((off == 0) * share).sum(), "within_one": ((off <= 1) * share).sum(), "heard": heard.mean()}
        told["seconds_off"] = (off * share).sum() * self.cfg.step_pictures / self.inputs.cfg.fps
        return Step((F.cross_entropy(logits, offset, reduction="none") * share).sum(), detached(told))

    def logits(self, video: Tensor, audio: Tensor) -> Tensor:
        """video uint8 [B, T, 3, H, W] and its longer sound, audio [B, M, F] -> [B, K]."""
        seen = self.seen(video)
        heard = self.audio_head(self.encoders["audio"](audio).maps[-1].transpose(1, 2)).float()  # [B, t, E]
        pictures, whole = video.shape[1], self.inputs.cfg.frames + 2 * reach(self.cfg)
        shares = meets(pictures, seen.shape[1], heard.shape[1], self.starts, whole).to(heard.device)
        with torch.autocast(video.device.type, enabled=False):
            later = torch.einsum("kst,bte->bkse", shares, heard).flatten(0, 1)  # [B * K, T', E]
            later = window_unit(later, remove_mean=True).unflatten(0, (len(seen), -1))
            fits = torch.einsum("bse,bkse->bk", window_unit(seen, remove_mean=True), later)
            scaled: Tensor = fits * self.scale()
        return scaled

    def seen(self, video: Tensor) -> Tensor:
        """What is looked at from step to step, [B, T', E]."""
        each = self.encoders["video"](video).maps[-1].flatten(3).permute(0, 2, 3, 1).float()  # [B, T', hw, C]
        weights = self.attention(each).float().softmax(2)
        looked: Tensor = self.video_head((each * weights).sum(2)).float()
        return looked

    def offset_logits(self, video: Tensor, audio: Tensor) -> Tensor:
        """The middle of the pictures [B, T + 2R, 3, H, W] in the whole sound [B, M, F] of the same time, [B, K]."""
        return self.logits(video[:, reach(self.cfg) :][:, : self.inputs.cfg.frames], audio)
