"""Changes of a batch of pictures, all at once: float [B, 3, H, W] in 0..255, each by its own numbers.

A change takes ``dice``, [B, n] numbers drawn evenly from 0..1, one row for each picture: whoever draws them need not
know what they decide, and nothing here draws. It has two parts. What dice mean is small, and found for a whole batch at
once; with that the pictures are changed, as many at a time as a cache holds. Pictures do not touch each other: what is
made of one depends on its own row alone. Most changes write into the pictures they are given.

The same changes of one picture at a time are in :mod:`avssl.views.pictures`, or torchvision's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Change = Literal["crop", "flip", "color", "gray", "rotate", "cutout", "noise", "blur", "sobel", "solarize"]
Told = tuple[Tensor, ...]
"""what dice mean, [B, ...] each"""
TRIES = 10
"""rectangles drawn for a crop; where none fits, it is the whole picture"""
SHAPES = (math.log(3 / 4), math.log(4 / 3))
"""least and greatest logarithm of a crop's width / height"""
LIGHT = (0.299, 0.587, 0.114)
"""how much red, green and blue add to the brightness"""
SIGMA = (0.1, 2.0)
"""pixels: least and greatest width of a blur"""
SHARP = -0.5
"""of the bicubic kernel (Keys, 1981), as in antialiased scaling elsewhere"""
GRAY = 128.0
"""what cutout leaves"""
DEVIATION = (0.02 * 255, 0.2 * 255)
"""least and greatest standard deviation of noise"""


class Setting(NamedTuple):
    """How strong changes are, and of what size pictures are.

    ``area`` is the least share of the picture that a crop shows, ``color`` the strength of its jitter.
    """

    area: float
    color: float
    height: int
    width: int


class Kind(NamedTuple):
    """How many dice a change takes, what they tell, and what is done with that."""

    dice: int
    told: Callable[[Tensor, Setting], Told]
    make: Callable[..., Tensor]


def rectangle(dice: Tensor, to: Setting) -> Told:
    """A random rectangle (that of Szegedy et al., 2015): what :func:`scaled` needs to show it enlarged."""
    share, shape, place = dice[:, :TRIES], dice[:, TRIES : 2 * TRIES], dice[:, 2 * TRIES :]
    share = (to.area + (1 - to.area) * share) * (to.height * to.width)
    shape = (SHAPES[0] + (SHAPES[1] - SHAPES[0]) * shape).exp()
    h, w = (share / shape).sqrt().round(), (share * shape).sqrt().round()  # [B, TRIES]
    fits = (h > 0) & (h <= to.height) & (w > 0) & (w <= to.width)
    first, some = fits.int().argmax(1, keepdim=True), fits.any(1)
    h = torch.where(some, h.gather(1, first)[:, 0], to.height)  # [B]
    w = torch.where(some, w.gather(1, first)[:, 0], to.width)
    top, left = (place[:, 0] * (to.height - h + 1)).floor(), (place[:, 1] * (to.width - w + 1)).floor()
    return (*stretched(top, h, to.height), *stretched(left, w, to.width))


def stretched(first: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Which places each of ``size`` new ones is a sum of, bicubically, int64 [B, size, 4], and their weights.

    Args:
        first: [B] where the stretch that is to be ``size`` long begins, a whole number.
        length: [B] of it, at most ``size``. Beyond its ends nothing is read: what is inside is weighted up.
        size: new length.
    """
    middle = (torch.arange(size, device=first.device) + 0.5) * (length / size)[:, None]  # [B, size]
    taps = (middle - 1.5).floor()[..., None] + torch.arange(4, device=first.device)
    far = (taps + 0.5 - middle[..., None]).abs()
    near = ((SHARP + 2) * far - (SHARP + 3)) * far * far + 1
    beyond = ((far - 5) * far + 8) * far - 4
    weights = torch.where(far < 1, near, torch.where(far < 2, SHARP * beyond, 0.0))
    weights = weights * ((taps >= 0) & (taps < length[:, None, None]))
    places = taps.clamp_min(0).minimum((length - 1)[:, None, None]) + first[:, None, None]
    return places.long(), weights / weights.sum(2, keepdim=True)


def scaled(x: Tensor, rows: Tensor, high: Tensor, columns: Tensor, wide: Tensor) -> Tensor:
    """New pixels as sums of K old rows with weights ``high``, and K' old columns with weights ``wide``."""
    x = summed(x, rows, high).transpose(2, 3)
    return summed(x, columns, wide).transpose(2, 3).contiguous().clamp_(0, 255)


def summed(x: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """Each new row as a sum of K old ones: x [B, 3, H, W] at ``places`` int64 [B, H, K] with ``weights`` [B, H, K].

    As a lookup, whose cost grows with K: a product with a matrix of the weights, nearly all of them 0, takes three
    times as long for 64 rows and nine times for 224.
    """
    count, planes, height, width = x.shape
    first = torch.arange(count * planes, device=x.device).view(count, planes, 1, 1) * height
    taps = places.shape[2]
    return F.embedding_bag(
        (places[:, None] + first).reshape(-1, taps), x.reshape(-1, width), mode="sum",
        per_sample_weights=weights[:, None].expand(-1, planes, -1, -1).reshape(-1, taps),
    ).view(x.shape)  # fmt: skip


def jitter(dice: Tensor, to: Setting) -> Told:
    """Brightness, contrast, saturation (factors 1 +- 0.8 strength) and hue (+- 0.2 strength), in random order.

    The policy of SimCLR (Chen et al., 2020), version 2: all four multiply, each result is clipped. Pictures that have
    them in different orders are changed at once: the first three are one formula, whose factors are [B, 6] here, three
    times what comes before the hue and three times what comes after it; what does not come there is neutral.
    """
    wide, narrow = 0.8 * to.color, 0.2 * to.color
    low, high = max(0.0, 1 - wide), 1 + wide
    order, place = dice[:, 4:7].argsort(1), (dice[:, 7:] * 4).floor()  # 0 brightness, 1 contrast, 2 saturation
    after = torch.arange(3, device=dice.device) >= place
    less = 1 - (low + (high - low) * dice[:, :3]).gather(1, order)
    less = less.repeat(1, 2) * torch.cat([~after, after], 1)
    gray, mean = (less * (order == kind).repeat(1, 2) for kind in (2, 1))
    return 1 - less, gray, mean, narrow * (2 * dice[:, 3] - 1)


def color(x: Tensor, own: Tensor, gray: Tensor, mean: Tensor, turn: Tensor) -> Tensor:
    """What :func:`jitter` tells."""
    for at in range(6):
        if at == 3:
            x = hue(x, turn)
        x = blend(x, own[:, at], gray[:, at], mean[:, at])
    return x


def blend(x: Tensor, own: Tensor, gray: Tensor, mean: Tensor) -> Tensor:
    """own x + gray (its gray) + mean (the mean of its gray), clipped; factors [B]."""
    own, gray, mean = (factor[:, None, None] for factor in (own, gray, mean))
    light = brightness(x)  # [B, H, W]
    mean = mean * light.mean((1, 2), keepdim=True)
    return x.mul_(own[..., None]).add_(light.mul_(gray).add_(mean)[:, None]).clamp_(0, 255)


def brightness(x: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, H, W]."""
    return (x[:, 0] * LIGHT[0]).add_(x[:, 1], alpha=LIGHT[1]).add_(x[:, 2], alpha=LIGHT[2])


def hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turns the hue by a share ``turn`` [B] of the circle; the greatest and the least of red, green and blue stay."""
    red, green, blue = x.unbind(1)
    top, low = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    apart = top - low
    # a mask of floats and lerp: torch.where is slower on a CPU than all the rest; where two are greatest, both agree
    angle = (red - green).add_(apart, alpha=4)
    angle.lerp_((blue - red).add_(apart, alpha=2), (green - top).eq_(0)).lerp_(green - blue, (red - top).eq_(0))
    angle.div_(apart.clamp_min(1e-3)).add_(6 * turn[:, None, None])
    angle.sub_((angle / 6).floor_(), alpha=6)  # 0..6
    made = torch.empty_like(x)
    for plane, (base, sign, middle) in enumerate(((low, 1, 3), (top, -1, 2), (top, -1, 4))):
        torch.addcmul(base, apart, (angle - middle).abs_().sub_(1).clamp_(0, 1), value=sign, out=made[:, plane])
    return made


def smoothing(dice: Tensor, to: Setting) -> Told:
    """A Gaussian kernel of a tenth of the height, its width in ``SIGMA`` pixels; edges are mirrored."""
    kernel = max(3, to.height // 10 | 1)
    away = torch.arange(kernel, device=dice.device) - kernel // 2
    sigma = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * dice
    weights = (-0.5 * (away / sigma).square()).softmax(1)[:, None]  # [B, 1, K]
    told = []
    for size in (to.height, to.width):
        places = (torch.arange(size, device=dice.device)[:, None] + away).abs()
        places = (size - 1) - ((size - 1) - places).abs()
        told += [places.expand(len(dice), -1, -1), weights.expand(-1, size, -1)]
    return tuple(told)


def rotate(x: Tensor, kind: Tensor) -> Tensor:
    """By 90, 180 or 270 degrees; pictures that are not square are stretched to their old shape."""
    for turns in (1, 2, 3):
        x = some(x, kind[:, 0] == turns - 1, lambda part, turns=turns: turned(part, turns))
    return x


def turned(x: Tensor, turns: int) -> Tensor:
    """By so many quarters, of the same size."""
    size, x = x.shape[2:], x.rot90(turns, (2, 3))
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", antialias=True)


def cutout(x: Tensor, begins: Tensor) -> Tensor:
    """Hides a rectangle of half of each side, which begins at such a share of the room there is."""
    inside = []
    for size, begin in zip(x.shape[2:], begins.unbind(1), strict=True):
        first, along = (begin * (size // 2 + 1)).floor()[:, None], torch.arange(size, device=x.device)
        inside.append((along >= first) & (along < first + size // 2))
    return x.masked_fill(inside[0][:, None, :, None] & inside[1][:, None, None, :], GRAY)


def noise(x: Tensor, deviation: Tensor, seed: Tensor) -> Tensor:
    """Gaussian noise of each value."""
    return x.add_((normal(seed, x[0].numel()) * deviation).view_as(x)).clamp_(0, 255)


def normal(seed: Tensor, count: int) -> Tensor:
    """Normal numbers [B, count] of seeds [B, 1]: the places and the seed, mixed by the last steps of MurmurHash3."""
    low = 2**32 - 1
    mixed = (torch.arange(count, device=seed.device) * 0x9E3779B1 + seed * 0xC2B2AE3D) & low
    for bits, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = ((mixed ^ (mixed >> bits)) * factor) & low
    even = ((mixed ^ (mixed >> 16)) >> 9).float().add_(0.5) / 2**23  # 0..1, both left out
    return math.sqrt(2) * torch.erfinv(2 * even - 1)


def sobel(x: Tensor) -> Tensor:
    """Leaves edges alone: the length of the brightness's slope."""
    light = F.pad(brightness(x)[:, None], (1, 1, 1, 1), mode="replicate")
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=x.device)
    slopes = F.conv2d(light, torch.stack([across, across.T])[:, None])  # [B, 2, H, W]
    return slopes.square().sum(1, keepdim=True).sqrt().clamp_(max=255).repeat(1, 3, 1, 1)


def some(x: Tensor, chosen: Tensor, make: Callable[..., Tensor], *told: Tensor) -> Tensor:
    """Changes the pictures that are meant, bool [B], and leaves the others alone."""
    if x.device.type != "cpu":
        return kept(x, chosen, make, *told)
    rows = chosen.nonzero()[:, 0]
    if len(rows) == len(x):
        return make(x, *told)
    return x.index_copy_(0, rows, make(x[rows], *(one[rows] for one in told))) if len(rows) else x


def kept(x: Tensor, chosen: Tensor, make: Callable[..., Tensor], *told: Tensor) -> Tensor:
    """The same, by changing all and keeping these: asked how many there are, an accelerator would be waited for."""
    return torch.where(chosen[:, None, None, None], make(x.clone(), *told), x)


def _nothing(dice: Tensor, to: Setting) -> Told:
    return ()


def _itself(dice: Tensor, to: Setting) -> Told:
    return (dice,)


CHANGES: dict[Change, Kind] = {
    "crop": Kind(2 * TRIES + 2, rectangle, scaled),
    "flip": Kind(0, _nothing, lambda x: x.flip(3)),
    "color": Kind(8, jitter, color),
    "gray": Kind(0, _nothing, lambda x: brightness(x)[:, None].repeat(1, 3, 1, 1)),
    "rotate": Kind(1, lambda dice, _: ((dice * 3).long(),), rotate),
    "cutout": Kind(2, _itself, cutout),
    "noise": Kind(
        2, lambda dice, _: (DEVIATION[0] + (DEVIATION[1] - DEVIATION[0]) * dice[:, :1], (dice[:, 1:] * 2**24).long()),
        noise,
    ),
    "blur": Kind(1, smoothing, scaled),
    "sobel": Kind(0, _nothing, sobel),
    "solarize": Kind(0, _nothing, lambda x: torch.minimum(x, 255 - x)),
}  # fmt: skip
"""what can be done to a picture: mirrored left and right by ``flip``, colourless by ``gray``, its brighter half turned
into its negative by ``solarize``"""
