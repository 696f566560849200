"""Masks that end where the picture has its edges: a fully connected conditional random field.

P. Krähenbühl, V. Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NIPS 2011,
arXiv:1210.5644. Every pixel is tied to every other, the more so the nearer and the more alike they are; mean field
finds the labels. Deviation: kernels may be normalized on both sides, as the authors' programme does and the equations
do not; the weights then mean the same for every size of picture.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from avssl.data.media import decode, probe
from avssl.localize.calibration import Calibration
from avssl.localize.heatmap import Heat
from avssl.localize.lattice import Lattice
from avssl.localize.masks import Floats, as_scores, upsample
from avssl.localize.overlay import Picture, calibrate

EXACT_PIXELS = 2500  # up to here all pairs are held, 50 MB
SIDE = 96  # pixels of the longer side on which recordings are refined
SURE = 3.0  # log odds of "lit" at the ceiling, and of "dark" as far below the threshold
MARGIN = 0.1  # of the colour scale, for places whose answer the picture's edges changed
MOST_MOMENTS = 8000  # maps of 96 pixels of so many moments fill 300 MB
CHUNK = 64

Filter = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Crf:
    """The two kernels and the number of steps.

    Attributes:
        appearance: weight of the kernel over place and colour (w1).
        appearance_pixels: how far it reaches (theta alpha).
        colour: how different colours may be, of 255 (theta beta).
        smoothness: weight of the kernel over place alone (w2).
        smoothness_pixels: how far it reaches (theta gamma).
        steps: of mean field.
        normalized: divide each kernel by the roots of its sums; False for the equations as printed.
    """

    appearance: float = 4.0
    appearance_pixels: float = 16.0
    colour: float = 13.0
    smoothness: float = 2.0
    smoothness_pixels: float = 1.5
    steps: int = 5
    normalized: bool = True


def mean_field(energies: ArrayLike, picture: Picture, crf: Crf | None = None, exact: bool | None = None) -> Floats:
    """Beliefs [L, H, W] that sum to 1 over labels, of energies [L, H, W] (minus log probability) and a picture.

    Args:
        energies: of each label at each pixel (the unary potential); finite.
        picture: uint8 [H, W, 3].
        crf: kernels and steps.
        exact: hold all pairs of pixels, which takes 16 N^2 bytes; or sum through a lattice. By default exact up to
            2500 pixels. On 48 x 50 pixels the two gave the same label to all pixels of flat pictures, to 99.5 % of
            smooth ones and to 96 % of pure noise.

    Two labels cost 1 where they differ (Potts). A pixel is not tied to itself (in the lattice: hardly).
    """
    crf = Crf() if crf is None else crf
    unary = as_scores(energies, (3,))
    labels, height, width = unary.shape
    if picture.shape != (height, width, 3):
        raise ValueError(f"energies of {height} x {width} pixels but a picture of shape {list(picture.shape)}")
    flat = unary.reshape(labels, -1)
    exact = height * width <= EXACT_PIXELS if exact is None else exact
    sums: list[tuple[float, Filter, Floats, Floats]] = []
    for weight, points in _features(picture, crf):
        filtered: Filter
        if exact:
            filtered, own = _exactly(points), np.ones(len(points))
        else:
            lattice = Lattice(points)
            filtered, own = lattice, lattice.own
        whole = filtered(np.ones(len(points)))  # how much each pixel hears in all
        scale = 1.0 / np.sqrt(whole) if crf.normalized else np.ones(len(points))
        sums.append((weight, filtered, own, scale))
    beliefs = _softmax(-flat)
    for _ in range(crf.steps):
        messages = np.zeros_like(beliefs)
        for weight, filtered, own, scale in sums:
            for label in range(labels):
                given = scale * beliefs[label]
                messages[label] += weight * scale * (filtered(given) - own * given)
        # Potts: a label pays for all that others say; what all labels hear alike cancels.
        beliefs = _softmax(-flat + messages)
    return beliefs.reshape(unary.shape)


def _features(picture: Picture, crf: Crf) -> list[tuple[float, Floats]]:
    """For each kernel its weight and the points [N, d] between which it is a Gaussian of deviation 1."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width].reshape(2, -1).astype(np.float64)
    place = np.stack([rows, columns], axis=1)
    colours = picture.reshape(-1, 3).astype(np.float64)
    near = np.concatenate([place / crf.appearance_pixels, colours / crf.colour], axis=1)
    return [(crf.appearance, near), (crf.smoothness, place / crf.smoothness_pixels)]


def _exactly(points: Floats) -> Filter:
    """The sums over all pairs."""
    squares = (points**2).sum(1)
    apart = squares[:, None] + squares[None, :] - 2.0 * points @ points.T
    kernel = np.exp(-0.5 * np.maximum(apart, 0.0))
    return lambda values: kernel @ values


def _softmax(scores: Floats) -> Floats:
    """Over the first axis."""
    raised = np.exp(scores - scores.max(0))
    out: Floats = raised / raised.sum(0)
    return out


def sharpen(
    path: Path, heat: Heat, scale: Calibration, crf: Crf | None = None, progress: Callable[[float], None] | None = None
) -> Heat:
    """The heat of the recording at `path` with what is lit fitted to the edges of its pictures: maps [T, H, W].

    The longer side of the maps becomes 96 pixels. A moment at which nothing is lit stays as dark as it was. Where the
    edges changed the answer a place gets a score just at the other side of the threshold, else it keeps its own.
    `progress` is called with the seconds done so far. Raises ValueError for recordings of more than 8000 moments.
    """
    if len(heat.times) > MOST_MOMENTS:
        most = MOST_MOMENTS * float(heat.times[-1]) / len(heat.times)
        raise ValueError(f"{path}: too long to refine; leave out --refine, or cut it to at most {most:.0f} s")
    shown = probe(path).pictures[0]
    factor = SIDE / max(shown.height, shown.width)
    size = (max(1, round(factor * shown.height)), max(1, round(factor * shown.width)))
    maps = np.empty((len(heat.maps), *size))
    for first in range(0, len(maps), CHUNK):
        times = heat.times[first : first + CHUNK]
        pictures = decode(path, times=times.tolist(), size=size).video.transpose(0, 2, 3, 1)
        for place, picture in enumerate(pictures, first):
            enlarged = upsample(heat.maps[place], size)
            dark = float(heat.maps[place].max()) < scale.threshold
            maps[place] = enlarged if dark else snap(enlarged, picture, scale, crf)
        if progress is not None:
            progress(float(times[-1]))
    return replace(heat, maps=maps)


def snap(scores: Floats, picture: Picture, scale: Calibration, crf: Crf | None = None) -> Floats:
    """Scores [H, W] whose lit places end at the edges of a picture uint8 [H, W, 3].

    A faint light on a small part of something even is put out by the sure dark around it; where all of it would be,
    the scores stay as they are, for edges are no reason to say that nothing sounds.
    """
    levels = calibrate(scores, scale.threshold, scale.ceiling)
    odds = SURE * np.clip(levels, -1.0, 1.0)
    lit = mean_field(np.stack([-odds, np.zeros_like(odds)]), picture, crf)[0] >= 0.5
    if not lit.any():
        return scores.copy()
    margin = MARGIN * (scale.ceiling - scale.threshold)
    out: Floats = np.where(lit, np.maximum(scores, scale.threshold), np.minimum(scores, scale.threshold - margin))
    return out
