"""Readers that know one shortcut and nothing else, and hand-made pictures in which nothing else is to be seen.

A test asks a reader twice: without the trick that closes its shortcut it must solve the task, with it it must not.
"""

from __future__ import annotations

import shortcut
import torch
import torch.nn.functional as F
from contract import tiny
from torch import Generator, Tensor

from avssl.methods.base import Batch


def drawn(name: str, pictures: shortcut.Pictures, count: int, *words: str) -> Batch:
    """What the method's transform makes of ``count`` pictures, stacked."""
    return shortcut.batch_of(tiny.run(name, *words), pictures, count, Generator().manual_seed(0))


def texture(draw: Generator, side: int, wide: int = 5) -> Tensor:
    """Noise [side, side] in 0..1 that is alike over about ``wide`` pixels and not beyond."""
    noise = torch.rand(1, 1, side + 2 * wide, side + 2 * wide, generator=draw)
    for _ in range(2):
        noise = F.avg_pool2d(noise, wide // 2 + 1, 1)
    smooth = noise[0, 0, :side, :side]
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def picture(*planes: Tensor) -> Tensor:
    """Planes [H, W] in 0..1, or one for all three -> uint8 [3, H, W]."""
    return (torch.stack(planes * (3 // len(planes))) * 255).round().clamp(0, 255).to(torch.uint8)


def fringed(draw: Generator, side: int, more: int) -> Tensor:
    """A texture through a lens that shows the green plane larger, by ``more`` pixels beyond each edge."""
    red = texture(draw, side)
    green = F.interpolate(red[None, None], (side + 2 * more,) * 2, mode="bicubic")[0, 0, more:-more, more:-more]
    return picture(red, green, red)


def lags(x: Tensor, most: int = 6) -> Tensor:
    """By how many pixels (down, right) the green plane lies off the red one: [N, 3, h, w] -> int64 [N, 2]."""
    red, green = (torch.fft.fft2(plane - plane.mean((1, 2), keepdim=True)) for plane in x[:, :2].float().unbind(1))
    alike = torch.fft.fftshift(torch.fft.ifft2(green * red.conj()).real, (1, 2))
    top, left = (size // 2 - most for size in alike.shape[1:])
    found = alike[:, top : top + 2 * most + 1, left : left + 2 * most + 1].flatten(1).argmax(1)
    return torch.stack([found // (2 * most + 1), found % (2 * most + 1)], 1) - most


def share(right: Tensor) -> float:
    """Of true ones."""
    return right.double().mean().item()
