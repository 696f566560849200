"""AVE-Net: the two-way loss against two sources, its first direction, pairs that overlap, and where the sound is."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops


def literal(picture, sound, recording, weight, bias):
    """Binary cross-entropy of true pairs and of each picture with the next item's sound, one pair at a time."""
    n, right, wrong = len(picture), [], []

    def logit(a, b):
        return weight * math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True))) + bias

    for i in range(n):
        j = (i + 1) % n
        right.append(-math.log(1 / (1 + math.exp(-logit(picture[i], sound[i])))))
        if recording[i] != recording[j]:
            wrong.append(-math.log(1 - 1 / (1 + math.exp(-logit(picture[i], sound[j])))))
    return 0.5 * sum(right) / n + 0.5 * (sum(wrong) / len(wrong) if wrong else 0)


class Given:
    """AVE-Net whose vectors are known."""

    def __init__(self, picture, sound):
        self.run = tiny.run("ave_net")
        self.method = self.run.method()
        vectors = {"image": picture, "audio": sound}
        self.method.embed = lambda modality, x: vectors[modality]

    def loss(self, recording=None):
        batch = {"picture": None, "sound": None, "recording": recording}
        return self.method(batch).loss


def unit_vectors(*shape, seed=0):
    return ops.unit(torch.randn(*shape, generator=Generator().manual_seed(seed)))


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("shared", [False, True])
def test_the_loss_is_the_papers(batch, width, shared):
    x = unit_vectors(2, batch, width, seed=batch)
    recording = torch.arange(batch)
    if shared:
        recording[1] = recording[0]
    expected = literal(x[0].tolist(), x[1].tolist(), recording.tolist(), -4.0, 4.0)
    assert Given(*x).loss(recording).item() == pytest.approx(expected, abs=1e-4)


def test_the_loss_is_the_reference_librarys():
    """Computed once with torch's PairwiseDistance and sklearn's log_loss:

    x = normalize((torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3), dim=-1)
    d = torch.nn.PairwiseDistance(eps=0)
    t, f = -4 * d(x[0], x[1]) + 4, -4 * d(x[0], x[1].roll(-1, 0)) + 4
    log_loss([1] * 4 + [0] * 4, 1 / (1 + np.exp(-torch.cat([t, f]).numpy())))
    """
    x = torch.nn.functional.normalize((torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3), dim=-1)
    assert Given(*x).loss(torch.arange(4)).item() == pytest.approx(2.6336751203261075, abs=1e-6)


def test_begins_with_near_pairs_as_the_true_ones():
    method = tiny.run("ave_net").method()
    near, far = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])
    assert method.logit(near, near) > 0 > method.logit(near, far)


def test_collapse_costs_more_than_separation_and_equal_vectors_have_a_gradient():
    apart, same = torch.eye(4), torch.ones(4, 4) / 2
    recording = torch.arange(4)
    assert Given(apart, apart).loss(recording) < Given(same, same).loss(recording) - 0.5
    vectors = same.clone().requires_grad_()
    Given(vectors, vectors).loss(recording).backward()
    assert vectors.grad.isfinite().all()


def test_a_negative_is_pushed_away_and_the_positive_pulled():
    x = unit_vectors(2, 2, 6, seed=3)
    picture = x[0].clone().requires_grad_()
    Given(picture, x[1]).loss(torch.arange(2)).backward()
    step = -picture.grad[0]
    assert step @ (x[1, 0] - x[0, 0]) > 0, "towards its sound"
    own = Given(x[0], x[1])
    own.method.bias.data.fill_(8.0)  # all pairs are believed: the negatives' turn to speak
    picture = x[0].clone().requires_grad_()
    own.method.embed = lambda modality, _: picture if modality == "image" else x[1]
    own.loss(torch.arange(2)).backward()
    assert -picture.grad[0] @ (x[1, 1] - x[0, 0]) < 0, "away from the other's sound"


def test_turning_the_batch_around_changes_nothing():
    run = tiny.run("ave_net")
    method, batch = run.method(), run.batch()
    turned = {key: value.roll(3, 0) for key, value in batch.items()}
    torch.testing.assert_close(method(batch).loss, method(turned).loss)


def test_segments_of_one_recording_are_no_negative_pair():
    x = unit_vectors(2, 2, 6)
    both = Given(*x).loss(torch.zeros(2))
    true = Given(*x).method.logit(*x)
    torch.testing.assert_close(both, 0.5 * torch.nn.functional.softplus(-true).mean())


def test_a_positive_pair_overlaps_in_time():
    """The sound is asked for around the picture: one window, the picture in its middle."""
    run = tiny.run("ave_net")
    needs = run.needs
    assert needs.clips == 1
    assert needs.frames == 1
    assert needs.audio_seconds > needs.window_seconds, "the sound is centred on the picture's window and covers it"


def test_the_map_shows_the_place_that_looks_like_the_sound():
    run = tiny.run("ave_net")
    method = run.method().eval()
    video, sound = run.x("video", 2), run.x("audio", 2)
    with torch.no_grad():
        scores = method.localize(video, sound, "audio")
        places = method.heads["image"](method.encoders["image"](video[:, 1]).maps[-1].permute(0, 2, 3, 1))
        heard = method.embed("audio", sound)
    for item in range(2):
        for row in range(scores.shape[2]):
            for column in range(scores.shape[3]):
                cosine = torch.cosine_similarity(places[item, row, column], heard[item], dim=0)
                torch.testing.assert_close(scores[item, 1, row, column], cosine, atol=1e-5, rtol=1e-4)
    assert scores.abs().max() <= 1 + 1e-5
    with pytest.raises(ValueError, match="localizes audio, not text"):
        method.localize(video, sound, "text")


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_pooling_is_by_the_strongest_place_or_by_the_mean_of_projections(pooling):
    run = tiny.run("ave_net", f"method.pooling={pooling}")
    method, x = run.method().eval(), run.x("image", 2)
    with torch.no_grad():
        cells = method.encoders["image"](x).maps[-1].flatten(2).unbind(2)
        head = method.heads["image"]
        if pooling == "max":
            strongest = cells[0]
            for cell in cells[1:]:
                strongest = torch.where(cell > strongest, cell, strongest)
            expected = head(strongest)
        else:
            expected = sum(head(cell) for cell in cells) / len(cells)
        torch.testing.assert_close(method.embed("image", x), ops.unit(expected), atol=1e-5, rtol=1e-4)
