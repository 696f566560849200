"""Fill in what is hidden of a picture and of its sound, each with the other's help, and tell whose sound it is.

Yuan Gong, Andrew Rouditchenko, Alexander H. Liu, David Harwath, Leonid Karlinsky, Hilde Kuehne, James Glass:
Contrastive Audio-Visual Masked Autoencoder, ICLR 2023, arXiv:2210.07839 (CAV-MAE).

Visible cells of each modality go through its own layers, then through shared ones three times under different norms:
pictures alone and sounds alone, whose means are contrasted, and both together, from which a decoder fills in the rest.

Deviations: cells are those of the encoder's map, whose input has the hidden ones painted over, so that any encoder will
do; the contrast has both directions and leaves out items of one recording.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.methods.rivals import Rivals, RivalsConfig
from avssl.nn import masking
from avssl.nn.contrast import retrieval_accuracy
from avssl.nn.decoders import CellDecoder
from avssl.nn.gather import gather
from avssl.nn.transformer import Block, positions
from avssl.sample import Needs

INPUT = {"image": "picture", "audio": "sound"}
FILL = {"image": 128.0, "audio": 0.0}
"""what hidden cells are painted over with: the middle of the range"""


class Config(MethodConfig):
    """CAV-MAE; shares, weights and temperature are the paper's, the network is a small one."""

    hidden_share: float = Field(0.75, gt=0, lt=1)
    """share of each modality's cells that is hidden"""
    contrast: float = Field(0.01, ge=0)
    """weight of the contrast"""
    temperature: float = Field(0.05, gt=0)
    """divides the cosines"""
    width: int = Field(128, ge=8)
    """D, the width of the tokens and of the space"""
    layers: int = Field(2, ge=1)
    """blocks of each modality alone"""
    shared: int = Field(1, ge=1)
    """blocks that both go through"""
    decoder_width: int = Field(64, ge=8)
    """width of the decoder's tokens"""
    decoder_layers: int = Field(2, ge=1)
    """blocks of the decoder"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that a view shows"""
    decibels: float = Field(3.0, ge=0)
    """most by which the sound is made louder or softer"""
    rivals: RivalsConfig = RivalsConfig()
    """who is told apart"""


class CAVMAE(Method[Config]):
    """Two towers, blocks of their own, shared blocks, one decoder."""

    modalities = ("image", "audio")
    own: Any

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        size, both = inputs.cfg, self.modalities
        if size.audio != "mel":
            raise ValueError(f"inputs.audio={size.audio}: cav_mae fills in spectrograms; set inputs.audio=mel")
        sound = inputs.audio(torch.zeros(1, round(size.hz * size.audio_seconds)))
        blank = {"image": torch.zeros(1, 3, size.height, size.width, dtype=torch.uint8), "audio": sound}
        with torch.no_grad():
            maps = {kind: encoders[kind].eval()(x).maps[-1][0] for kind, x in blank.items()}
        self.grid = {kind: (x.shape[1], x.shape[2] if x.ndim > 2 else 1) for kind, x in maps.items()}
        values = {kind: masking.patches(planes(x), self.grid[kind]).shape[2] for kind, x in blank.items()}
        self.enter = nn.ModuleDict({kind: nn.Linear(towers.width(encoders[kind]), cfg.width) for kind in both})
        self.own = nn.ModuleDict({kind: nn.Sequential(*(Block(cfg.width) for _ in range(cfg.layers))) for kind in both})
        self.shared = nn.ModuleList(Block(cfg.width, (*both, "joint")) for _ in range(cfg.shared))
        self.last = nn.ModuleDict({name: nn.LayerNorm(cfg.width) for name in (*both, "joint")})
        self.decoder = CellDecoder(cfg.width, cfg.decoder_width, cfg.decoder_layers, self.grid, values)
        self.rivals = Rivals(cfg.rivals, cfg.width)
        self.spaces = {"main": Space(both, cfg.width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture and the sound around it."""
        return inputs.needs(frames=1, audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``picture``, ``sound`` and the ``seed`` of what is hidden."""
        return views.PictureAndSound(inputs, cfg.area, 0.0, cfg.decibels, seed=True)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Squared error of the hidden cells' values in both modalities, and a little contrast."""
        visible, alone, truth = {}, {}, {}
        for place, kind in enumerate(self.modalities):
            x, grid, cells = batch[INPUT[kind]], self.grid[kind], math.prod(self.grid[kind])
            visible[kind] = masking.kept(batch["seed"] + place, cells, self.cfg.hidden_share)
            mask = masking.hidden(visible[kind], cells)
            tokens = self.tokens(kind, masking.cover(planes(x), mask, grid, FILL[kind]).reshape(x.shape))
            alone[kind] = self.own[kind](tokens.gather(1, visible[kind][..., None].expand(-1, -1, self.cfg.width)))
            truth[kind] = masking.standard(masking.patches(planes(x), grid)[mask])  # [B * hidden, V]
        joint = self.through(torch.cat(list(alone.values()), 1), "joint")
        parts = joint.split([part.shape[1] for part in alone.values()], 1)
        filled = self.decoder(dict(zip(alone, parts, strict=True)), visible)
        errors = {kind: (filled[kind].flatten(0, 1) - truth[kind]).square().mean() for kind in self.modalities}
        picture, sound = (gather(ops.unit(self.through(alone[kind], kind).mean(1))) for kind in self.modalities)
        contrast, logits = self.rivals.pairs(picture, sound, 1 / self.cfg.temperature, batch)
        told = {**errors, "contrast": contrast, "accuracy": retrieval_accuracy(logits)}
        return Step(errors["image"] + errors["audio"] + self.cfg.contrast * contrast, detached(told))

    def tokens(self, kind: str, x: Tensor) -> Tensor:
        """A batch as :meth:`embed` takes it -> the cells of the encoder's map with their places, [B, cells, D]."""
        maps = self.encoders[kind](x).maps[-1]  # [B, C, h, w] or [B, C, t]
        grid = maps.shape[2:] if maps.ndim > 3 else (maps.shape[2], 1)
        entered: Tensor = self.enter[kind](maps.flatten(2).transpose(1, 2))
        return entered + positions(grid, self.cfg.width).to(entered.device)

    def through(self, x: Tensor, norm: str) -> Tensor:
        """Tokens [B, L, D] through the shared blocks under the norms of that name."""
        for block in self.shared:
            x = block(x, norm)
        result: Tensor = self.last[norm](x)
        return result

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]: the mean of all cells, nothing hidden."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.through(self.own[modality](self.tokens(modality, x)), modality).mean(1))


def planes(x: Tensor) -> Tensor:
    """A picture [B, 3, H, W] as it is; a spectrogram [B, M, F] as one plane, [B, 1, M, F]."""
    return x if x.ndim == 4 else x[:, None]
