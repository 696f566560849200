"""Match each of picture, sound and words with each other one, and with the other two together; any may be missing.

Nina Shvetsova, Brian Chen, Andrew Rouditchenko, Samuel Thomas, Brian Kingsbury, Rogerio Feris, David Harwath, James
Glass, Hilde Kuehne: Everything at Once: Multi-modal Fusion Transformer for Video Retrieval, CVPR 2022,
arXiv:2112.04446.

One block without positions mixes the tokens of one modality or of two. Six contrasts: text and video, text and sound,
video and sound, and each against the other two fused. A row counts in a term only where all of its modalities are
there: words without a token, digital silence and a black picture are none.

Deviations: InfoNCE both ways without equal texts and other items of the recording among the negatives; encoders learn
from pixels in place of fixed features.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.contrast import mil_nce
from avssl.nn.fusion import Fusion, Tokens, tokens_of
from avssl.nn.gather import gather
from avssl.nn.narration import equal_texts
from avssl.sample import Needs

TERMS = {"text_video": 1.0, "text_audio": 0.1, "video_audio": 0.1, "text_video+audio": 0.1, "video_text+audio": 0.1,
         "audio_text+video": 0.1}  # fmt: skip
"""the two sides of each term, and its weight in the paper"""


class Config(MethodConfig):
    """Everything at once; temperature and weights are the paper's."""

    width: int = Field(512, ge=8)
    """D, the width of the space"""
    tokens: int = Field(128, ge=32, multiple_of=32)
    """width of the tokens that are fused"""
    moments: int = Field(12, ge=1)
    """tokens of a sound"""
    temperature: float = Field(0.05, gt=0)
    """divides the cosines"""
    main: float = Field(1.0, ge=0)
    """weight of text against video"""
    others: float = Field(0.1, ge=0)
    """weight of each of the five other terms"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that a view shows"""


class EverythingAtOnce(Method[Config]):
    """Three encoders, one block, six terms."""

    modalities = ("video", "audio", "text")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.enter = nn.ModuleDict(
            {
                kind: nn.Sequential(nn.Linear(towers.width(encoders[kind]), cfg.tokens), nn.LayerNorm(cfg.tokens))
                for kind in self.modalities
            }
        )
        self.fuse = Fusion(self.modalities, cfg.tokens, cfg.width)
        self.spaces = {"main": Space(self.modalities, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip, its sound and a sentence; recordings may lack the picture or the sound."""
        needs = inputs.needs(audio_seconds=inputs.cfg.audio_seconds, narrations=1, window="narration")
        return replace(needs, may_lack=("video", "audio"))

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio`` and ``tokens`` [1, L]."""
        return views.Narrated(inputs, cfg.area)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """The weighted sum of the six terms."""
        given = {kind: self.tokens(kind, batch[kind]) for kind in ("video", "audio")}
        given["text"] = self.tokens("text", batch["tokens"][:, 0])
        there = {kind: gather(one.real.any(1)) for kind, one in given.items()}  # bool [B]
        recording, equal = gather(batch["recording"]), equal_texts(gather(batch["tokens"]))[..., 0]
        other = recording[:, None] != recording
        names = {side for term in TERMS for side in term.split("_")}
        sides = {name: gather(self.side({kind: given[kind] for kind in name.split("+")})) for name in sorted(names)}
        loss, metrics = torch.zeros((), device=recording.device), {}
        for term, weight in self.weights().items():
            one, two = term.split("_")
            kinds = [one, *two.split("+")]
            rows = torch.stack([there[kind] for kind in kinds]).all(0)
            negatives = other & ~equal if "text" in kinds else other
            part = self.contrast(sides[one] @ sides[two].T / self.cfg.temperature, rows, negatives)
            metrics[term.replace("+", "_and_")] = part
            loss = loss + weight * part
        share = torch.stack([one.float().mean() for one in there.values()]).mean()
        return Step(loss, detached({**metrics, "present": share}))

    def weights(self) -> dict[str, float]:
        """Term -> its weight."""
        return {term: self.cfg.main if most == 1 else self.cfg.others for term, most in TERMS.items()}

    def contrast(self, logits: Tensor, rows: Tensor, negatives: Tensor) -> Tensor:
        """logits [B, B], rows bool [B] that have all that is compared, negatives bool [B, B] -> scalar, both ways."""
        own = torch.eye(len(rows), dtype=torch.bool, device=logits.device)
        valid = (negatives | own) & rows & rows[:, None]
        return 0.5 * (mil_nce(logits, own, valid) + mil_nce(logits.T, own, valid.T))

    def tokens(self, modality: str, x: Tensor) -> Tokens:
        """A batch of one modality, as ``embed`` takes it -> its tokens for the block."""
        features = self.encoders[modality](x)
        found = tokens_of(features.maps[-1], modality, self.cfg.moments)
        if modality == "text":
            real = (x >= 0)[:, : found.shape[1]]
            first = torch.where(real.any(1, keepdim=True), found[:, 0], features.vector)  # of no token: its own vector
            found = torch.cat([first[:, None], found[:, 1:]], 1)
        else:
            nothing = 0 if modality == "video" else self.inputs.silence
            real = ((x.flatten(1) - nothing).abs() > 1e-3).any(1, keepdim=True).expand(-1, found.shape[1])
        return Tokens(self.enter[modality](found), real)

    def side(self, given: dict[str, Tokens]) -> Tensor:
        """Tokens of one modality or of two -> unit vectors [B, D]: the sum of what each has become beside the other."""
        return ops.unit(torch.stack([ops.unit(one) for one in self.fuse(given).values()]).sum(0))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D] of one modality alone."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return self.side({modality: self.tokens(modality, x)})
