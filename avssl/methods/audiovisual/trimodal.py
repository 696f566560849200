"""Of the batch, tell which sound and which sentences belong to this clip: by place, by moment and by meaning.

The flagship: DenseAV's sound against places (Hamilton et al., CVPR 2024, arXiv:2406.05629) and MIL-NCE for narration
(Miech, Alayrac, Smaira, Laptev, Sivic, Zisserman: End-to-End Learning of Visual Representations from Uncurated
Instructional Videos, CVPR 2020, arXiv:1912.06430) in one space, with vectors that keep time.

Deviations: the sound must agree with one place over the whole window (sum over time, then a smooth maximum over
places); a text is matched with the sound as well as with the picture; a sound may be matched with itself as another
room has it (``within``: NT-Xent of SimCLR, Chen et al., ICML 2020, arXiv:2002.05709); a stored vector is the clip's
meaning (all modalities) beside its course in time (sound and picture), so that one index serves text and synchrony.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.methods.rivals import Rivals, RivalsConfig
from avssl.nn.contrast import Temperature, nt_xent, retrieval_accuracy
from avssl.nn.dense import Calibration, per_frame, time_then_place, unheard
from avssl.nn.gather import gather
from avssl.nn.lacking import compared, spread
from avssl.nn.moments import Heard, Listen, Look, Seen
from avssl.nn.narration import bag_contrast
from avssl.sample import Needs


class Config(MethodConfig):
    """The flagship's options."""

    width: int = Field(128, ge=8)
    """of the vector of meaning, shared by all modalities"""
    moment_width: int = Field(32, ge=4)
    """of the vector of each moment, shared by sound and places"""
    remove_mean: bool = False
    """compare only what changes over the window: for recordings that differ in nothing else, like one talker"""
    moment_weight: float = Field(0.5, ge=0, le=1)
    """share of the moments in the stored vector; the rest is meaning"""
    narrations: int = Field(3, ge=1)
    """K, phrases in a clip's bag"""
    hidden: float = Field(0.0, ge=0, lt=1)
    """greatest share of time and of bands hidden from the sound (SpecAugment): for few recordings"""
    slack_seconds: float = Field(0.0, ge=0)
    """most by which sound and picture are moved apart: for recordings that are not all equally in step"""
    temperature: float = Field(0.1, gt=0)
    """where the learned temperatures start"""
    sharpness: float = Field(10.0, gt=0)
    """of the smooth maximum over places"""
    dense: float = Field(1.0, ge=0)
    """weight of sound against places"""
    moments: float = Field(1.0, ge=0)
    """weight of sound against picture, moment by moment"""
    meaning: float = Field(1.0, ge=0)
    """weight of the vectors of meaning, sound against picture"""
    narration: float = Field(2.0, ge=0)
    """weight of the narration against both: three terms compare sound and picture"""
    within: float = Field(0.0, ge=0)
    """weight of a sound against itself as another room has it: for sounds that go with nothing in the picture"""
    course: float = Field(0.1, ge=0, le=1)
    """share of the single moment in a place's score; the rest is the agreement over the window"""
    calibration: float = Field(0.2, ge=0)
    """weight of the logistic term that puts all scores on one scale"""
    rivals: RivalsConfig = RivalsConfig()
    """who is told apart; likeness, mining and the bank go by the vectors of meaning"""


class Trimodal(Method[Config]):
    """Three encoders, one space; every contrast is symmetric and over the whole batch."""

    modalities = ("video", "audio", "text")
    optional = ("text",)
    localizes = ("audio", "text")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        inputs.same_seconds("trimodal compares them moment by moment")
        width = {name: towers.width(encoder) for name, encoder in encoders.items()}
        self.look = Look(width["video"], cfg.width, cfg.moment_width, cfg.remove_mean)
        self.listen = Listen(width["audio"], cfg.width, cfg.moment_width, cfg.remove_mean)
        if "text" in encoders:
            self.text_meaning = nn.Linear(width["text"], cfg.width)
        scales = ("dense", "moments", "meaning", *(["narration"] if "text" in encoders else []))
        self.temperatures = nn.ModuleDict({name: Temperature(cfg.temperature) for name in scales})
        self.calibration = Calibration()
        self.rivals = Rivals(cfg.rivals, cfg.width)
        spoken = ("text",) if "text" in encoders else ()
        self.time_stride: int = getattr(encoders["video"], "time_stride", 1)
        steps = -(-inputs.cfg.frames // self.time_stride)
        self.spaces = {"main": Space(("video", "audio", *spoken), cfg.width + steps * cfg.moment_width, spoken)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip, its sound, the K nearest sentences; what is told in words may lack the sound."""
        needs = inputs.needs(audio_seconds=inputs.cfg.audio_seconds, narrations=cfg.narrations)
        return replace(needs, may_lack=("audio",))

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio``, ``heard``, ``noise``, ``again`` and ``tokens``."""
        return views.ClipAndSound(inputs, cfg.hidden, cfg.slack_seconds, again=cfg.within > 0)

    def seen(self, video: Tensor) -> Seen:
        """video uint8 [B, T, 3, H, W]."""
        found: Seen = self.look(self.encoders["video"](video).maps[-1])
        return found

    def heard(self, audio: Tensor, steps: int) -> Heard:
        """audio [B, M, F], at ``steps`` moments."""
        filled = self.inputs.filled(audio, steps, self.time_stride)
        found: Heard = self.listen(self.encoders["audio"](audio).maps[-1], steps, filled)
        return found

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Sound against places, against moments and against meaning; narration against both."""
        cfg, loss, metrics = self.cfg, torch.zeros((), device=batch["video"].device), {}
        seen, there = self.seen(batch["video"]), batch["heard"]
        kinds = [batch["audio"][there], unheard(batch["noise"], self.inputs.silence)]
        kinds += [batch["again"][there]] if cfg.within else []
        parts = [part.split([len(x) for x in kinds]) for part in self.heard(torch.cat(kinds), seen.moments.shape[1])]
        recording, (rows, some) = gather(batch["recording"]), compared(gather(there))
        seen = Seen(*(gather(part) for part in seen))
        heard = Heard(*(torch.cat([gather(spread(own, there))[rows], extra]) for own, extra, *_ in parts))
        clips = Seen(*(part[rows] for part in seen))  # with a sound
        count, same = len(clips.meaning), recording[rows][:, None] == recording[rows]
        own = heard.meaning[:count]
        found = self.rivals.find(clips.meaning, own, batch, rows)
        dense = time_then_place(clips.places, heard.moments, cfg.sharpness)  # [B, B + X]
        similarities = {
            "dense": dense,
            "moments": clips.moments.flatten(1) @ heard.moments.flatten(1).T,
            "meaning": clips.meaning @ heard.meaning.T,
        }
        for name, similarity in similarities.items():
            logits = similarity * self.temperatures[name]()
            whole = (clips.meaning, own, self.temperatures[name]()) if name == "meaning" else None
            metrics[name] = some * self.rivals.contrast(logits[:, :count], found, logits[:, count:], whole)
            metrics[f"{name}_accuracy"] = retrieval_accuracy(logits[:, :count])
            loss = loss + getattr(cfg, name) * metrics[name]
        pairs, more = torch.eye(count, dtype=torch.bool, device=dense.device), (0, dense.shape[1] - count)
        fits = self.calibration(dense, F.pad(pairs, more), F.pad(pairs | ~same, more, value=True))
        metrics["calibration"] = some * fits
        loss = loss + cfg.calibration * metrics["calibration"]
        if cfg.within:
            again = gather(spread(parts[1][2], there))[rows]  # its meaning
            metrics["within"] = some * nt_xent(own, again, cfg.temperature, recording[rows])
            loss = loss + cfg.within * metrics["within"]
        if "tokens" in batch:
            tokens = batch["tokens"]
            bags, tokens = gather(self.said(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])), gather(tokens)
            scale = self.temperatures["narration"]()
            sides = {
                "seen": (seen.meaning, rows | True, some.new_ones(())),
                "heard": (own, rows, some),
            }
            for name, (vectors, these, weight) in sides.items():
                part, hit = bag_contrast(vectors, bags[these], tokens[these], recording[these], scale)
                metrics |= {f"narration_{name}": weight * part, f"narration_{name}_accuracy": hit}
                loss = loss + 0.5 * cfg.narration * weight * part
        return Step(loss, detached(metrics))

    def said(self, tokens: Tensor) -> Tensor:
        """tokens [B, L] -> unit vectors of meaning [B, D]."""
        return ops.unit(self.text_meaning(self.encoders["text"](tokens).vector))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Meaning beside moments, weighted so that their inner product is the weighted mean of both cosines.

        A text has no course in time: its moments are zero and the vector is unit by its meaning alone.
        """
        if space != "main" or modality not in self.spaces["main"].modalities:
            raise self.no_space(modality, space)
        if modality == "text":
            said = self.said(x)
            return F.pad(said, (0, self.spaces["main"].width - said.shape[1]))
        found: Seen | Heard
        if modality == "video":
            found = self.seen(x)
        else:
            found = self.heard(x, self.inputs.steps(x, self.time_stride))
        weight = self.cfg.moment_weight
        return ops.unit(torch.cat([found.meaning * (1 - weight) ** 0.5, found.moments.flatten(1) * weight**0.5], 1))

    def places(self, video: Tensor) -> Tensor:
        """Each place's meaning (if there is text) beside its course over the window, [B, h, w, D + T' E]."""
        maps = self.encoders["video"](video).maps[-1]
        meaning, course = self.look.whole_window(maps, video.shape[1], self.time_stride, self.cfg.course)
        return torch.cat([meaning, course], -1) if "text" in self.encoders else course

    def sought(self, query: Tensor, modality: str) -> Tensor:
        """A text's meaning, or a sound's course, and zeros for the other, [B, D + T' E]."""
        if modality not in self.localizes or modality not in self.encoders:
            raise self.no_place(modality)
        meaning = self.cfg.width if "text" in self.encoders else 0
        if modality == "text":
            return F.pad(self.said(query), (0, self.spaces["main"].width - self.cfg.width))
        return F.pad(self.heard(query, self.inputs.steps(query, self.time_stride)).moments.flatten(1), (meaning, 0))

    def course(self, modality: str, x: Tensor) -> Tensor:
        """video [B, T, 3, H, W] -> [B, T', E], audio [B, M, F] -> [B, t, E]: moments whose size is not fixed yet."""
        maps = self.encoders[modality](x).maps[-1]
        course: Tensor = self.look.course(maps) if modality == "video" else self.listen.course(maps).transpose(1, 2)
        return course

    def no_place(self, modality: str) -> ValueError:
        """The error for a query that cannot be localized."""
        return ValueError(f"{self.cfg.name} localizes audio{' and text' * ('text' in self.encoders)}, not {modality}")

    def localize(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """Agreement of each place with the sound at each moment, or with the text; [B, T, h, w], about -1..1."""
        if modality == "audio":
            places = self.seen(video).places
            moments = self.heard(query, places.shape[1]).moments
            each = torch.einsum("btdhw,btd->bthw", places, moments)
            # the window's cosine is what training puts on one scale; a moment alone favors short loud sounds
            scores = (1 - self.cfg.course) * each.sum(1, keepdim=True) + self.cfg.course * each * places.shape[1]
        elif modality == "text" and "text" in self.encoders:
            meaning = self.look.each_place(self.encoders["video"](video).maps[-1])
            scores = torch.einsum("bthwd,bd->bthw", meaning, self.said(query))
        else:
            raise self.no_place(modality)
        return per_frame(scores, video.shape[1], self.time_stride)
