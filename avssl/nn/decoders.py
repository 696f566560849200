"""Decoders: from a code to what was coded; hidden cells, and pictures from maps of features."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avssl.nn.masking import hidden
from avssl.nn.transformer import Block, positions


class CellDecoder(nn.Module):
    """Fills in hidden cells from visible ones of all kinds: a small transformer over both (He et al., 2022).

    Args:
        inputs: D, width of the visible cells' tokens.
        width: of its own tokens.
        layers: blocks.
        grids: kind -> cells along each axis.
        values: kind -> V, how many numbers a cell has.
    """

    def __init__(
        self, inputs: int, width: int, layers: int, grids: Mapping[str, tuple[int, ...]], values: Mapping[str, int]
    ):
        super().__init__()
        self.grids = dict(grids)
        self.enter = nn.Linear(inputs, width)
        self.blank = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.kinds = nn.ParameterDict({kind: nn.Parameter(0.02 * torch.randn(1, 1, width)) for kind in grids})
        self.blocks = nn.Sequential(*(Block(width) for _ in range(layers)), nn.LayerNorm(width))
        self.leave = nn.ModuleDict({kind: nn.Linear(width, count) for kind, count in values.items()})

    def forward(self, tokens: Mapping[str, Tensor], visible: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tokens [B, K, D] at the visible cells int64 [B, K] -> values of the hidden ones, [B, cells - K, V]."""
        rows, masks = [], {}
        for kind, x in tokens.items():
            places = positions(self.grids[kind], self.blank.shape[2]).to(x.device)  # [cells, width]
            known = self.enter(x)
            whole = self.blank.to(known.dtype).expand(len(x), len(places), -1)
            whole = whole.scatter(1, visible[kind][..., None].expand_as(known), known)
            rows.append(whole + self.kinds[kind] + places)
            masks[kind] = hidden(visible[kind], len(places))
        parts = self.blocks(torch.cat(rows, 1)).split([row.shape[1] for row in rows], 1)
        left = {
            kind: part[mask].unflatten(0, (len(part), -1))
            for (kind, mask), part in zip(masks.items(), parts, strict=True)
        }
        return {kind: self.leave[kind](part).float() for kind, part in left.items()}


def shape_of(encoder: nn.Module, height: int, width: int) -> tuple[int, int, int]:
    """(D, h, w) of the last map that a picture encoder makes of height x width pixels; it is tried on a blank one."""
    training = encoder.training
    with torch.no_grad():
        maps: Tensor = encoder.eval()(torch.zeros(1, 3, height, width, dtype=torch.uint8)).maps[-1]
    encoder.train(training)
    return maps.shape[1], maps.shape[2], maps.shape[3]


class Decoder(nn.Module):
    """Map [B, D, h, w] -> [B, ``outputs``, H, W]: doubled until it is as fine as wanted, convolved each time.

    Args:
        shape: (D, h, w) of the map.
        outputs: planes of the result.
        size: (H, W) of the result; where doublings pass it, the right and lower rims are cut off.
        planes: least planes on the way; they begin at D and halve with each doubling.
    """

    def __init__(self, shape: tuple[int, int, int], outputs: int, size: tuple[int, int], planes: int = 32):
        super().__init__()
        wide, h, w = shape
        self.size = size
        doublings = max(0, math.ceil(math.log2(max(size[0] / h, size[1] / w))))
        layers: list[nn.Module] = []
        for _ in range(doublings):
            narrow = max(planes, wide // 2)
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(wide, narrow, 3, 1, 1)]
            layers += [nn.GroupNorm(max(1, narrow // 16), narrow), nn.ReLU()]
            wide = narrow
        self.layers = nn.Sequential(*layers, nn.Conv2d(wide, outputs, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, h, w] -> [B, outputs, H, W]."""
        made: Tensor = self.layers(x)
        return made[..., : self.size[0], : self.size[1]]


class Across(nn.Module):
    """Lets every place know of every other: each plane has a linear layer over its places, then planes are mixed.

    The channel-wise fully-connected layer of context encoders (Pathak et al., 2016): [B, D, h, w] -> the same, with
    D (h w)^2 weights where a full layer has (D h w)^2.

    Args:
        shape: (D, h, w) of the map.
    """

    def __init__(self, shape: tuple[int, int, int]):
        super().__init__()
        planes, h, w = shape
        self.weight = nn.Parameter(torch.randn(planes, h * w, h * w) * (2 / (h * w)) ** 0.5)
        self.mix = nn.Conv2d(planes, planes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, h, w] -> [B, D, h, w]."""
        spread = torch.einsum("bdp,dpq->bdq", x.flatten(2), self.weight).view(x.shape)
        mixed: Tensor = self.mix(torch.relu(spread))
        return torch.relu(mixed)


def psnr(made: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures in 0..1, [B, 3, H, W] each; the mean over pictures, at most 100."""
    error = (made.float() - wanted.float()).square().flatten(1).mean(1)
    return (-10 * error.clamp_min(1e-10).log10()).mean()
