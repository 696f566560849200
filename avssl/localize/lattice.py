"""Gaussian sums over many points of a few dimensions, in time that grows with the points, not with their pairs.

A. Adams, J. Baek, M. A. Davis: Fast High-Dimensional Filtering Using the Permutohedral Lattice, Eurographics 2010.
Points give their values to the corners of the simplex they lie in, the corners are blurred along the lattice's
directions, and the points take them back. The sum is approximate: see `Lattice`.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Lattice:
    """sum over j of exp(-|f_i - f_j|^2 / 2) v_j for points f [N, d], one's own value included.

    For dense points (place alone) the sums come out 0.77 to 0.9 of the exact ones, for colours 0.4 to 0.7, as the
    blur of an empty neighbourhood goes nowhere. Quotients of sums are what it is for: the weighted mean of values 0 to
    1 was within 0.03 for places and within 0.09 for colours of pictures. Points far from all others (a picture of pure
    noise) have hardly a sum, and no accurate mean.

    `own` [N] is what each point hears of itself, at least.
    """

    def __init__(self, points: Floats) -> None:
        count, dims = points.shape
        corners = dims + 1
        # An orthogonal basis of the plane whose coordinates add up to 0, scaled so that the blur below has deviation 1.
        basis = np.zeros((corners, dims))
        for axis in range(dims):
            basis[: axis + 1, axis] = 1.0
            basis[axis + 1, axis] = -(axis + 1.0)
            basis[:, axis] /= np.sqrt((axis + 1.0) * (axis + 2.0))
        raised = points @ (corners * np.sqrt(2.0 / 3.0) * basis).T  # [N, d + 1]
        base = np.round(raised / corners).astype(np.int64) * corners
        excess = base.sum(1, keepdims=True) // corners
        # Rank 0 is the coordinate that was rounded down most; ranks tell which simplex of the cell a point is in.
        order = np.argsort(base - raised, axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(corners)[None], axis=1)
        rank += excess
        low, high = rank < 0, rank > dims
        base += corners * (low.astype(np.int64) - high)
        rank += corners * (low.astype(np.int64) - high)

        share = (raised - base) / corners
        weights = np.zeros((count, corners + 1))
        rows = np.arange(count)[:, None]
        weights[rows, dims - rank] += share  # ranks of one point are all different
        weights[rows, corners - rank] -= share
        weights[:, 0] += 1.0 + weights[:, corners]
        self.weights = weights[:, :corners]  # [N, d + 1], of each corner

        step = np.arange(corners)[None, :, None]
        keys = base[:, None, :] + step - corners * (rank[:, None, :] > dims - step)  # [N, corner, d + 1]
        keys = keys[..., :dims].reshape(-1, dims)  # the last coordinate follows from the others
        # One number per corner, linear in its coordinates, so that a neighbour's number is a constant away.
        lowest = keys.min(0) - corners
        extent = keys.max(0) + corners + 1 - lowest
        if np.prod(extent.astype(np.float64)) > 2.0**62:
            raise ValueError("the points lie too far apart for the lattice; make the deviations larger")
        place = np.concatenate([[1], np.cumprod(extent[:-1])])
        codes, at = np.unique((keys - lowest) @ place, return_inverse=True)
        self.at = at.reshape(count, corners)
        self.size = len(codes)
        self.neighbours = []
        for axis in range(corners):
            offset = np.ones(dims, dtype=np.int64)
            if axis < dims:
                offset[axis] = -dims
            self.neighbours.append([self._find(codes, codes + sign * int(offset @ place)) for sign in (1, -1)])
        self.scale = 1.0 / (1.0 + 2.0**-dims)  # a step along every direction leads back: a corner hears itself so much
        # What a point surely hears of itself: through each corner, and from each to the next, one step of the blur.
        self.own = self.scale * (self.weights * (self.weights + np.roll(self.weights, 1, axis=1))).sum(1)  # [N]

    def _find(self, codes: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of `wanted` in `codes`; one past the end where there is none."""
        places = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        return np.where(codes[places] == wanted, places, len(codes))

    def __call__(self, values: Floats) -> Floats:
        """The sums [N] for values [N]."""
        given = (self.weights * values[:, None]).ravel()
        held = np.append(np.bincount(self.at.ravel(), given, minlength=self.size), 0.0)
        for ahead, behind in self.neighbours:
            held[:-1] = held[:-1] + 0.5 * (held[ahead] + held[behind])
        out: Floats = self.scale * (self.weights * held[self.at]).sum(1)
        return out
