"""L3-Net: the fused two-way loss against two sources; neither side alone can answer; pairs of one recording."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator


class Given:
    """L3-Net whose logits are an inner product of known vectors: for no 0, for yes <p, s>."""

    def __init__(self, picture, sound):
        self.method = tiny.run("l3_net").method()
        vectors = {"image": picture, "audio": sound}
        self.method.pooled = lambda modality, _: vectors[modality]
        self.method.logits = lambda p, s: torch.stack([torch.zeros(len(p)), (p * s).sum(1)], 1)

    def step(self, recording):
        return self.method({"picture": None, "sound": None, "recording": recording})


def literal(picture, sound, recording):
    """Cross-entropy of each true pair and of each picture with the next sound, one at a time."""
    count, right, wrong = len(picture), [], []
    for i in range(count):
        j = (i + 1) % count
        yes = sum(p * s for p, s in zip(picture[i], sound[i], strict=True))
        right.append(-math.log(math.exp(yes) / (math.exp(0) + math.exp(yes))))
        if recording[i] != recording[j]:
            yes = sum(p * s for p, s in zip(picture[i], sound[j], strict=True))
            wrong.append(-math.log(1 / (1 + math.exp(yes))))
    return 0.5 * sum(right) / count + 0.5 * (sum(wrong) / len(wrong) if wrong else 0)


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("shared", [False, True])
def test_the_loss_is_the_papers(batch, width, shared):
    x = torch.randn(2, batch, width, generator=Generator().manual_seed(batch))
    recording = torch.arange(batch)
    if shared:
        recording[1] = recording[0]
    expected = literal(x[0].tolist(), x[1].tolist(), recording.tolist())
    assert Given(*x).step(recording).loss.item() == pytest.approx(expected, abs=1e-5)


def test_the_loss_is_the_reference_librarys():
    """Computed once with sklearn:

    x = (torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3)
    t, f = (x[0] * x[1]).sum(1), (x[0] * x[1].roll(-1, 0)).sum(1)
    log_loss([1] * 4 + [0] * 4, 1 / (1 + np.exp(-torch.cat([t, f]).numpy())))
    """
    x = (torch.arange(24, dtype=torch.float64) * 1.3).sin().reshape(2, 4, 3)
    assert Given(*x).step(torch.arange(4)).loss.item() == pytest.approx(1.438683962324129, abs=1e-6)


def test_neither_side_alone_can_answer():
    """Every picture and every sound is as often in a true pair as in a false one."""
    x = torch.randn(2, 6, 4, generator=Generator().manual_seed(1))
    for alone in (0, 1):
        given = Given(*x)
        given.method.logits = lambda *both, alone=alone: torch.stack([torch.zeros(6), both[alone].sum(1)], 1)
        step = given.step(torch.arange(6))
        assert step.metrics["accuracy"].item() == pytest.approx(0.5)
        assert step.loss.item() >= math.log(2)


def test_segments_of_one_recording_are_no_negative_pair():
    x = torch.randn(2, 2, 6, generator=Generator().manual_seed(2))
    loss = Given(*x).step(torch.zeros(2)).loss
    torch.testing.assert_close(loss, 0.5 * torch.nn.functional.softplus(-(x[0] * x[1]).sum(1)).mean())


def test_features_are_taken_where_they_are_strongest_and_joined():
    run = tiny.run("l3_net")
    method, batch = run.method().eval(), run.batch()
    maps = method.encoders["image"](batch["picture"]).maps[-1]
    pooled = method.pooled("image", batch["picture"])
    assert pooled[3, 5] == max(maps[3, 5].flatten().tolist())
    sound = method.pooled("audio", batch["sound"])
    torch.testing.assert_close(method.logits(pooled, sound), method.classify(torch.cat([pooled, sound], 1)))


def test_pictures_and_sounds_have_a_space_each():
    run = tiny.run("l3_net")
    method = run.method().eval()
    assert {name: space.modalities for name, space in method.spaces.items()} == {
        "main": ("image",),
        "sound": ("audio",),
    }
    with pytest.raises(ValueError, match="cannot embed audio in space main"):
        method.embed("audio", run.x("audio"))
