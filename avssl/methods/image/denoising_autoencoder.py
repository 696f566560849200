"""Restore a picture that noise has corrupted.

Pascal Vincent, Hugo Larochelle, Yoshua Bengio, Pierre-Antoine Manzagol: Extracting and Composing Robust Features with
Denoising Autoencoders, ICML 2008, doi:10.1145/1390156.1390294.

What is compared is the clean picture. With ``amount`` 0 nothing is corrupted: that is the conventional autoencoder, the
baseline, which may learn to copy. The denoiser comes for free: ``psnr`` is that of its output, ``psnr_noisy`` that of
what it was given (dB, peak 1).

Deviations: one convolutional encoder and decoder, trained at once, where the paper stacks layers with tied weights.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures
from avssl.nn.decoders import Decoder, psnr, shape_of
from avssl.sample import Sample


class Config(MethodConfig):
    """Denoising autoencoder; the noise and the loss are the paper's."""

    noise: Literal["masking", "gaussian", "salt_pepper"] = "masking"
    """masking: pixels become black; salt_pepper: black or white; gaussian: a number is added to each colour"""
    amount: float = Field(0.25, ge=0, le=1)
    """share of pixels that are corrupted; gaussian: standard deviation, where white is 1"""
    loss: Literal["cross_entropy", "squared"] = "cross_entropy"
    """cross_entropy takes each value in 0..1 for the probability of a bit"""
    area: float = Field(0.5, gt=0, le=1)
    """least share of the picture that is shown"""
    planes: int = Field(32, ge=8)
    """of the decoder's last layer"""


def corrupt(x: Tensor, noise: str, amount: float, generator: Generator) -> Tensor:
    """Pictures float 0..1 [3, H, W] -> the same with noise; masking and salt and pepper hit all colours of a pixel."""
    if noise == "gaussian":
        return x + amount * torch.randn(x.shape, generator=generator)
    hit = torch.rand(1, *x.shape[1:], generator=generator) < amount
    value = torch.randint(2, hit.shape, generator=generator).float() if noise == "salt_pepper" else x.new_zeros(())
    return torch.where(hit, value, x)


class Noisy:
    """One picture -> a view of it, ``clean`` uint8 [3, H, W], and ``noisy`` float about 0..1 [3, H, W]."""

    def __init__(self, cfg: Config):
        self.cfg = cfg

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Draws the view and the noise."""
        clean = views.flip(views.crop(sample.video[0, 0], generator, (self.cfg.area, 1.0)), generator)
        return {"clean": clean, "noisy": corrupt(clean / 255, self.cfg.noise, self.cfg.amount, generator)}


class DenoisingAutoencoder(OfPictures[Config]):
    """An encoder that sees noise, a decoder whose target is clean."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.decoder = Decoder(shape_of(encoders["image"], *self.size), 3, self.size, cfg.planes)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``clean`` uint8 [3, H, W] and ``noisy`` float [3, H, W]."""
        return Noisy(cfg)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Cross-entropy or squared error against the clean picture."""
        clean = batch["clean"].float() / 255
        logits = self.decoder(self.encoders["image"](batch["noisy"]).maps[-1]).float()
        made = logits.sigmoid()
        if self.cfg.loss == "cross_entropy":
            loss = F.binary_cross_entropy_with_logits(logits, clean)
        else:
            loss = F.mse_loss(made, clean)
        return Step(loss, detached({"psnr": psnr(made, clean), "psnr_noisy": psnr(batch["noisy"], clean)}))

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """``denoised`` 0..1 [B, 3, H, W]."""
        return {"denoised": self.decoder(self.encoders["image"](batch["noisy"]).maps[-1]).sigmoid()}
