"""k-means: the same centers on every machine and rank for the same vectors and seed."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_AT_ONCE = 8192
"""vectors that are compared with all centers at a time"""


@torch.no_grad()
def kmeans(x: Tensor, count: int, iterations: int = 20) -> tuple[Tensor, Tensor]:
    """Lloyd's iterations from centers drawn far apart (k-means++: Arthur, Vassilvitskii, 2007).

    Draws from torch's global randomness. A center that loses all its vectors is put on the vector that is farthest from
    its own, so that no cluster stays empty while there are different vectors.

    Args:
        x: float [N, D].
        count: K, at most N.
        iterations: most rounds; fewer when nothing changes any more.

    Returns:
        centers [K, D] and the number of each vector's cluster, int64 [N].
    """
    assert 1 <= count <= len(x), f"{count} clusters of {len(x)} vectors"
    x = x.float()
    centers = _far_apart(x, count)
    labels, far = nearest(x, centers)
    for _ in range(iterations):
        sizes = torch.bincount(labels, minlength=count)
        empty = (sizes == 0).nonzero()[:, 0]
        sums = torch.zeros_like(centers).index_add_(0, labels, x)
        centers = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], centers)
        if len(empty):
            centers[empty] = x[far.topk(len(empty)).indices]
        moved, far = nearest(x, centers)
        if torch.equal(moved, labels):
            break
        labels = moved
    return centers, labels


@torch.no_grad()
def nearest(x: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Number of the nearest of the centers [K, D] for each of x [N, D], int64 [N], and the squared distance [N]."""
    parts = [torch.cdist(part, centers).square().min(1) for part in x.split(MOST_AT_ONCE)]
    return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])


def renumbered(labels: Tensor, before: Tensor, count: int) -> Tensor:
    """New numbers [K] for the clusters of ``labels`` [N], so that most vectors keep their number of ``before`` [N].

    What learns to name the clusters need not begin anew each time they are found anew: number k becomes result[k].
    The two clusters that share most vectors are matched first, then the next two.
    """
    table = torch.bincount(labels * count + before, minlength=count * count)
    new, taken = [-1] * count, set[int]()
    for place in table.argsort(descending=True, stable=True).tolist():
        now, old = divmod(place, count)
        if new[now] < 0 and old not in taken:
            new[now] = old
            taken.add(old)
    return torch.tensor(new, device=labels.device)


def _far_apart(x: Tensor, count: int) -> Tensor:
    """First centers: each drawn with a probability that grows with the squared distance from those before it."""
    chosen = [int(torch.randint(len(x), ()))]
    far = (x - x[chosen[0]]).square().sum(1)
    for _ in range(count - 1):
        total = far.double().cumsum(0)
        place = float(torch.rand((), dtype=torch.float64)) * float(total[-1])
        # where all are equal any will do
        chosen.append(min(int(torch.searchsorted(total, place, right=True)), len(x) - 1))
        far = torch.minimum(far, (x - x[chosen[-1]]).square().sum(1))
    return x[torch.tensor(chosen, device=x.device)].clone()
