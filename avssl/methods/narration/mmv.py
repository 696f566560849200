"""Tell which sound is this clip's in a fine space, and which phrases are about it in a coarse one that fine leads to.

Jean-Baptiste Alayrac, Adrià Recasens, Rosalia Schneider, Relja Arandjelović, Jason Ramapuram, Jeffrey De Fauw, Lucas
Smaira, Sander Dieleman, Andrew Zisserman: Self-Supervised MultiModal Versatile Networks, NeurIPS 2020,
arXiv:2006.16228 (the fine and coarse form).

Words say less than sounds do. Text is therefore compared in a space of its own, which clips and sounds enter by a
projection of their fine vectors: it pulls at what it can tell and leaves the rest alone. Sound and text are never
compared in training; that they can be is learnt through the clips. Clips without words, or without sound, count in the
other contrast alone.

Deviations: equal texts, texts without a token and other items of the recording are no negatives; learned temperatures;
no batch statistics in the projections.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.contrast import Temperature, info_nce, retrieval_accuracy
from avssl.nn.gather import gather
from avssl.nn.heads import mlp
from avssl.nn.lacking import compared, spread
from avssl.nn.narration import bag_contrast
from avssl.sample import Needs


class Config(MethodConfig):
    """MMV, fine and coarse."""

    fine: int = Field(512, ge=1)
    """width of the space of pictures and sound"""
    coarse: int = Field(256, ge=1)
    """width of the space that text is in too"""
    phrases: int = Field(4, ge=1)
    """K, phrases nearest in time that make one bag"""
    temperature: float = Field(0.07, gt=0)
    """where the learned temperatures start"""
    narration: float = Field(1.0, ge=0)
    """weight of clips against phrases; clips against sounds have 1"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that a view shows"""


class MMV(Method[Config]):
    """Three encoders, two spaces, one inside the other."""

    modalities = ("video", "audio", "text")

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        width = {kind: towers.width(encoders[kind]) for kind in self.modalities}
        self.to_fine = nn.ModuleDict({kind: mlp(width[kind], cfg.fine, cfg.fine, 2) for kind in ("video", "audio")})
        self.to_coarse = mlp(cfg.fine, cfg.coarse, cfg.coarse, 2)
        self.read = mlp(width["text"], cfg.coarse, cfg.coarse, 1)
        self.temperatures = nn.ModuleDict({name: Temperature(cfg.temperature) for name in ("fine", "coarse")})
        self.spaces = {"main": Space(self.modalities, cfg.coarse), "fine": Space(("video", "audio"), cfg.fine)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip, its sound, and the phrases nearest to its middle; what is told in words may lack the sound."""
        needs = inputs.needs(audio_seconds=inputs.cfg.audio_seconds, narrations=cfg.phrases)
        return replace(needs, may_lack=("audio",))

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video``, ``audio``, ``heard`` and ``tokens``."""
        return views.Narrated(inputs, cfg.area)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """InfoNCE between clips and sounds, MIL-NCE between clips and bags of phrases."""
        tokens, there = batch["tokens"], batch["heard"]
        mine = there | ~there.any()  # a rank without any sound encodes silence, which counts nothing
        fine = self.finely("video", batch["video"])  # [B / R, F]
        coarse = gather(ops.unit(self.to_coarse(fine)))
        bags = gather(self.coarsely("text", tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2]))  # [B, K, C]
        video = gather(ops.unit(fine))
        audio = gather(spread(ops.unit(self.finely("audio", batch["audio"][mine])), mine))
        tokens, recording, (rows, some) = gather(tokens), gather(batch["recording"]), compared(gather(there))
        logits = video[rows] @ audio[rows].T * self.temperatures["fine"]()
        sounds = some * info_nce(logits, recording[rows][:, None] == recording[rows])
        words, told = bag_contrast(coarse, bags, tokens, recording, self.temperatures["coarse"]())
        metrics = {"sounds": sounds, "words": words, "sounds_accuracy": retrieval_accuracy(logits)}
        return Step(sounds + self.cfg.narration * words, detached({**metrics, "words_accuracy": told}))

    def finely(self, modality: str, x: Tensor) -> Tensor:
        """A batch of clips or sounds -> fine vectors [B, F], of any length."""
        found: Tensor = self.to_fine[modality](self.encoders[modality](x).vector)
        return found

    def coarsely(self, modality: str, x: Tensor) -> Tensor:
        """A batch of any modality -> unit vectors [B, C]."""
        if modality == "text":
            return ops.unit(self.read(self.encoders["text"](x).vector))
        return ops.unit(self.to_coarse(self.finely(modality, x)))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors: [B, C] in ``main``, the coarse space, and [B, F] in ``fine``."""
        if space not in self.spaces or modality not in self.spaces[space].modalities:
            raise self.no_space(modality, space)
        return self.coarsely(modality, x) if space == "main" else ops.unit(self.finely(modality, x))
