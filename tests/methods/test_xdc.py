"""XDC: each side learns the other's clusters; the loss from two sources, what clustering keeps, and the one space."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import nn

from avssl import ops
from avssl.methods.audiovisual.xdc import Clusters
from avssl.methods.base import HasClusters
from avssl.nn.clusters import kmeans


def examples(run, size=3):
    """The training items in order, as the trainer gives them."""
    whole = run.batch()
    for first in range(0, 8, size):
        yield {key: value[first : first + size] for key, value in whole.items()}


def clustered(*words, seed=0):
    run = tiny.run("xdc", *words)
    method = run.method(seed)
    torch.manual_seed(11)
    method.before_epoch(examples(run))
    return run, method


def literal(method, batch):
    """Cross-entropy of each classifier against the other modality's labels, one item at a time."""
    total = 0.0
    for kind, other in (("video", "audio"), ("audio", "video")):
        features = method.encoders[kind](batch[kind]).pooled("max")
        scores = (features @ method.heads[kind].weight.T + method.heads[kind].bias).tolist()
        for row, index in zip(scores, batch["index"].tolist(), strict=True):
            label = int(method.found[other].labels[index])
            total += math.log(sum(math.exp(score) for score in row)) - row[label]
    return total / (2 * len(batch["index"]))


@pytest.mark.parametrize("size", [2, 5, 8])
@pytest.mark.parametrize("clusters", [2, 4])
def test_the_loss_is_the_papers(size, clusters):
    run, method = clustered(f"method.clusters={clusters}")
    batch = run.batch(size=size)
    assert method(batch).loss.item() == pytest.approx(literal(method, batch), rel=1e-4)


def test_the_loss_is_the_reference_librarys():
    """Computed once with sklearn, for scores s = (torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3):

    (log_loss([2, 0, 1, 1], s[0].softmax(1)) + log_loss([0, 0, 2, 1], s[1].softmax(1))) / 2
    """
    run = tiny.run("xdc", "method.clusters=3")
    method = run.method()
    scores = dict(zip(("video", "audio"), (torch.arange(24) * 1.3).sin().reshape(2, 4, 3), strict=True))
    method._features = lambda kind, x: scores[kind]
    method.heads = nn.ModuleDict({"video": nn.Identity(), "audio": nn.Identity()})
    method.found["audio"].labels[:4] = torch.tensor([2, 0, 1, 1])
    method.found["video"].labels[:4] = torch.tensor([0, 0, 2, 1])
    assert method(run.batch(size=4)).loss.item() == pytest.approx(1.0647096191080192, abs=1e-5)


def test_labels_are_the_clusters_of_the_modality_itself():
    run, method = clustered("method.clusters=3")
    batch = run.batch()
    assert method.training
    with torch.no_grad():
        for kind in ("video", "audio"):
            features = method.eval().encoders[kind](batch[kind]).pooled("max")
            x = torch.nn.functional.normalize(features - features.mean(0), dim=1)
            found = method.found[kind]
            for row, label in zip(x, found.labels.tolist(), strict=True):
                assert label == min(range(3), key=lambda k, row=row: float((row - found.centers[k]).norm()))
            for number in found.labels.unique().tolist():
                torch.testing.assert_close(found.centers[number], x[found.labels == number].mean(0), atol=1e-5, rtol=0)


def test_each_side_learns_the_others_clusters_and_not_its_own():
    run, method = clustered("method.clusters=3")
    batch = run.batch()
    before = method(batch)
    method.found["video"].labels.copy_((method.found["video"].labels + 1) % 3)
    after = method(batch)
    assert after.metrics["video_loss"] == before.metrics["video_loss"]
    assert after.metrics["audio_loss"] != before.metrics["audio_loss"]


def test_every_rank_finds_the_same_and_another_chunk_of_items_changes_nothing():
    """Ranks have the same weights and seed and see all items; a batch is no unit of anything."""
    _, one = clustered()
    run = tiny.run("xdc")
    other = run.method()
    torch.manual_seed(11)
    other.before_epoch(examples(run, size=8))
    for kind in ("video", "audio"):
        assert torch.equal(one.found[kind].labels, other.found[kind].labels)
        torch.testing.assert_close(one.found[kind].centers, other.found[kind].centers, atol=1e-5, rtol=0)


def test_clusters_found_again_keep_their_numbers():
    found, x, index = Clusters(30, 5, 4), torch.randn(30, 5), torch.arange(30)
    found.find(index, x, 20)
    before = found.labels.clone()
    moved = x + 0.05 * torch.randn(30, 5)
    torch.manual_seed(99)  # other first centers
    plain = kmeans(ops.unit(moved - moved.mean(0)), 4)[1]
    torch.manual_seed(99)
    found.find(index, moved, 20)
    assert torch.equal(plain[:, None] == plain, found.labels[:, None] == found.labels), "the same clusters"
    assert (found.labels == before).sum() > (plain == before).sum(), "under the numbers they had"
    torch.testing.assert_close(found.closeness(moved).argmax(1), found.labels)


def test_clusters_only_every_so_many_epochs():
    _, method = clustered("method.every=3")

    def never():
        raise AssertionError("not this epoch")
        yield

    method.before_epoch(never())
    method.before_epoch(never())
    with pytest.raises(AssertionError, match="not this epoch"):
        method.before_epoch(never())
    assert method.training


def test_one_space_of_both_and_its_clusters():
    run, method = clustered("method.clusters=3")
    method.eval()
    assert isinstance(method, HasClusters)
    with torch.no_grad():
        batch = run.batch()
        vectors = {kind: method.embed(kind, batch[kind]) for kind in ("video", "audio")}
    for kind, half in (("video", slice(0, 3)), ("audio", slice(3, 6))):
        assert method.cluster(kind, vectors[kind]).tolist() == method.found[kind].labels.tolist()
        own = method.found[kind].closeness(method.encoders[kind](batch[kind]).pooled("max")) / 0.1
        torch.testing.assert_close(vectors[kind][:, half].square(), own.softmax(1) / 2)
        torch.testing.assert_close(vectors[kind].square().sum(1), torch.ones(8))
    likely = method.heads["video"](method.encoders["video"](batch["video"]).pooled("max")).softmax(1)
    torch.testing.assert_close(vectors["video"][:, 3:].square(), likely / 2)


def test_no_more_clusters_than_half_the_items():
    assert tiny.run("xdc", "method.clusters=64").method().count == 4


def test_picture_and_sound_are_of_one_window():
    needs = tiny.run("xdc").needs
    assert needs.clips == 1
    assert needs.frames > 1
    assert needs.audio_seconds > 0
