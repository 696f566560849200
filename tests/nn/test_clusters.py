"""k-means: finds what is there, equals the reference, fills empty clusters, keeps numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from avssl.nn import clusters
from avssl.nn.clusters import kmeans, nearest, renumbered


def blobs(count, each, width=6, spread=0.05):
    draw = Generator().manual_seed(3)
    centers = torch.randn(count, width, generator=draw) * 3
    x = centers.repeat_interleave(each, 0) + spread * torch.randn(count * each, width, generator=draw)
    return x, torch.arange(count).repeat_interleave(each)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_finds_groups_that_are_there(count):
    x, true = blobs(count, 9)
    centers, labels = kmeans(x, count)
    together = labels[:, None] == labels
    assert torch.equal(together, true[:, None] == true)
    for number in range(count):
        torch.testing.assert_close(centers[number], x[labels == number].mean(0))


def test_ends_where_the_reference_library_ends(monkeypatch):
    """From the same first centers: sklearn.cluster.KMeans(3, init=x[[0, 1, 2]].numpy(), n_init=1).fit(x).inertia_"""
    x = (torch.arange(60, dtype=torch.float32) * 1.7).sin().reshape(20, 3)
    monkeypatch.setattr(clusters, "_far_apart", lambda x, count: x[:count].clone())
    centers, labels = kmeans(x, 3, 50)
    assert (x - centers[labels]).square().sum().item() == pytest.approx(9.472041610900742, rel=1e-5)


def test_the_seed_decides_and_nothing_else():
    x = torch.randn(40, 4)
    torch.manual_seed(5)
    first = kmeans(x, 6)
    torch.manual_seed(5)
    again = kmeans(x, 6)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_no_cluster_stays_empty_while_vectors_differ():
    x = torch.cat([torch.zeros(30, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])])
    for seed in range(8):
        torch.manual_seed(seed)
        _, labels = kmeans(x, 4)
        assert len(labels.unique()) == 4


def test_equal_vectors_are_no_error():
    centers, labels = kmeans(torch.ones(5, 3), 3)
    assert centers.isfinite().all()
    assert labels.shape == (5,)


def test_nearest_in_parts_is_nearest(monkeypatch):
    x, centers = torch.randn(23, 4), torch.randn(5, 4)
    whole = nearest(x, centers)
    monkeypatch.setattr(clusters, "MOST_AT_ONCE", 7)
    parts = nearest(x, centers)
    assert torch.equal(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1])
    assert whole[0].tolist() == [min(range(5), key=lambda k: float((row - centers[k]).norm())) for row in x]


def test_numbers_are_kept_where_most_stay():
    before = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    turned = torch.tensor([2, 2, 2, 0, 0, 1, 1, 0])  # the same but for the last, under other numbers
    new = renumbered(turned, before, 3)
    assert new.tolist() == [1, 2, 0]
    assert new[turned].tolist() == [0, 0, 0, 1, 1, 2, 2, 1]
    one, other = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    assert sorted(renumbered(one, other, 3).tolist()) == [0, 1, 2], "each number once"
