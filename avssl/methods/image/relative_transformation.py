"""From a picture and its warped copy, say by which transformation the one became the other.

Liheng Zhang, Guo-Jun Qi, Liqiang Wang, Jiebo Luo: AET vs. AED: Unsupervised Representation Learning by Auto-Encoding
Transformations rather than Data, CVPR 2019, arXiv:1901.04596.

Meaning of a target: the map from the warped picture's places to the original's. A projective one is its eight
coefficients row by row, x right and y down, in units of 1/32 of the side, less the usual value and over the usual
spread (the authors' for 32 pixels); an affine one is angle (counter-clockwise), shift right, shift down, scale and
shear of the way from the original to the copy, each from -1 to 1.

Deviations: outside the picture is gray, as the authors', and its border tells the geometry; ``inside`` shows real
surroundings instead. The small move of the original repeats its edge. The affine ranges and the encoder are ours.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, Transform, detached
from avssl.methods.pictures import OfPictures, Scales
from avssl.nn.heads import mlp
from avssl.sample import Sample

USUAL = torch.tensor([0.0, 0, 16, 0, 0, 16, 0, 0])
SPREAD = torch.tensor([1.0, 1, 20, 1, 1, 20, 0.015, 0.015])
CORNERS = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)  # (x, y), clockwise from upper left
SURROUNDINGS = 2
"""with ``inside``, the whole is so many times as wide as the part that is shown"""


class Config(MethodConfig):
    """AET; defaults are the paper's."""

    kind: Literal["projective", "affine"] = "projective"
    """of transformation"""
    scale: Scales = (0.8, 1.2)
    """least and greatest"""
    shift: float = Field(4 / 32, ge=0, lt=0.4)
    """projective: most by which a corner is moved, affine: the picture; share of the side"""
    quarters: bool = True
    """projective: by any number of quarter turns, too"""
    degrees: float = Field(180.0, ge=0, le=180)
    """affine: greatest angle"""
    shear: float = Field(30.0, ge=0, lt=80)
    """affine: greatest angle by which upright lines are tilted"""
    inside: bool = False
    """show the middle of the picture only, so that its surroundings take the place of the gray border"""
    hidden: int = Field(0, ge=0)
    """width of a hidden layer over both vectors; 0 for none, as in the paper"""


def homography(source: Tensor, target: Tensor) -> Tensor:
    """Four points (x, y) [4, 2] and what they become -> the projective map, float64 [3, 3] with 1 at its end."""
    places, zero = torch.cat([source, torch.ones_like(source[:, :1])], 1), source.new_zeros(4, 3)
    linear = torch.cat([torch.cat([places, zero]), torch.cat([zero, places])], 1)  # [8, 6]
    bent = -target.T.reshape(-1, 1) * source.repeat(2, 1)
    solved = torch.linalg.solve(torch.cat([linear, bent], 1), target.T.reshape(-1))
    return torch.cat([solved, solved.new_ones(1)]).view(3, 3)


def warp(x: Tensor, matrix: Tensor, inside: bool) -> Tensor:
    """uint8 [3, H, W] -> the picture that shows at p what is at ``matrix`` p; places are -1 to 1 in what is shown."""
    zoom = SURROUNDINGS if inside else 1
    h, w = x.shape[1] // zoom, x.shape[2] // zoom
    identity = torch.eye(2, 3, dtype=torch.float64)[None]
    places = F.affine_grid(identity, [1, 3, h, w], align_corners=False)[0]  # [h, w, 2]
    moved = torch.cat([places, torch.ones(h, w, 1, dtype=torch.float64)], 2) @ matrix.T
    where = (moved[..., :2] / moved[..., 2:] / zoom).float()
    padding = "reflection" if inside else "zeros"
    found = F.grid_sample(x[None].float() - 128, where[None], padding_mode=padding, align_corners=False)[0] + 128
    return found.round().clamp(0, 255).to(torch.uint8)


class Warp:
    """One picture -> ``original`` and ``warped`` uint8 [3, h, w], and ``target`` [8] or [5]."""

    def __init__(self, cfg: Config):
        self.cfg = cfg

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Draws a small move, a mirroring and the transformation."""
        picture = views.flip(views.shift(sample.video[0, 0], generator, 4 / 32), generator)
        draw = self.projective if self.cfg.kind == "projective" else self.affine
        matrix, target = draw(generator, picture.shape[2] / picture.shape[1])
        shown, warped = (warp(picture, m, self.cfg.inside) for m in (torch.eye(3, dtype=torch.float64), matrix))
        return {"original": shown, "warped": warped, "target": target.float()}

    def words(self, example: Batch) -> dict[str, str]:
        """What the numbers mean: where the copy's corners lie in the original, or what was done to it."""
        cfg, target = self.cfg, example["target"]
        if cfg.kind == "affine":
            turn, right, down, size, tilt = target.tolist()
            scale = (cfg.scale[0] * (1 - size) + cfg.scale[1] * (1 + size)) / 2
            moved = f"moved by {right * cfg.shift:+.0%} right, {down * cfg.shift:+.0%} down"
            turned = f"turned {turn * cfg.degrees:.0f}° against the clock"
            return {"target": f"{turned}, {moved}, {scale:.2f} times as large, tilted {tilt * cfg.shear:.0f}°"}
        rows = torch.cat([target * SPREAD + USUAL, torch.ones(1)]).view(3, 3)
        ends = rows @ torch.tensor([[0.0, 32, 32, 0], [0, 0, 32, 32], [1, 1, 1, 1]])  # [3, 4], clockwise
        corners = ", ".join(f"({x:.2f}, {y:.2f})" for x, y in (ends[:2] / ends[2] / 32).T.tolist())
        return {"target": f"its corners, clockwise, are the original's (right, down) {corners}"}

    def projective(self, generator: Generator, aspect: float = 1.0) -> tuple[Tensor, Tensor]:
        """Corners scaled, turned and moved -> the map back, and its normalized coefficients."""
        turn = views.integer(generator, 4) if self.cfg.quarters else 0
        ends = CORNERS.roll(-turn, 0) * views.uniform(generator, *self.cfg.scale)
        ends = ends + (torch.rand(4, 2, generator=generator, dtype=torch.float64) * 2 - 1) * 2 * self.cfg.shift
        matrix = homography(ends, CORNERS)
        units = torch.tensor([[1 / 16, 0, -1], [0, 1 / 16, -1], [0, 0, 1]], dtype=torch.float64)
        coefficients = torch.linalg.inv(units) @ matrix @ units
        return matrix, ((coefficients / coefficients[2, 2]).flatten()[:8] - USUAL) / SPREAD

    def affine(self, generator: Generator, aspect: float = 1.0) -> tuple[Tensor, Tensor]:
        """Sheared, scaled, turned, as ``aspect`` W / H has it, moved -> the map back, and the five numbers drawn."""
        cfg, target = self.cfg, torch.rand(5, generator=generator, dtype=torch.float64) * 2 - 1
        turn, right, down, size, tilt = target.tolist()
        angle, lean = math.radians(turn * cfg.degrees), math.tan(math.radians(tilt * cfg.shear))
        scale = (cfg.scale[0] * (1 - size) + cfg.scale[1] * (1 + size)) / 2
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        first = [cos, (cos * lean + sin) / aspect, 2 * right * cfg.shift]
        second = [-sin * aspect, cos - sin * lean, 2 * down * cfg.shift]
        return torch.linalg.inv(torch.tensor([first, second, [0, 0, 1]], dtype=torch.float64)), target


class RelativeTransformation(OfPictures[Config]):
    """One encoder sees both pictures; a head sees both vectors side by side."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = mlp(2 * self.width, cfg.hidden, 8 if cfg.kind == "projective" else 5, 2 if cfg.hidden else 1)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``original`` and ``warped`` uint8 [3, h, w] and ``target`` [8] or [5]."""
        return Warp(cfg)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean squared error; ``explained`` is the share of the numbers' variance in the batch."""
        both = self.encoders["image"](torch.cat([batch["original"], batch["warped"]])).vector  # [2B, D]
        found = self.head(torch.cat(both.chunk(2), 1)).float()
        loss = F.mse_loss(found, batch["target"])
        return Step(loss, detached({"explained": 1 - loss / batch["target"].var(0, correction=0).mean().add(1e-3)}))
