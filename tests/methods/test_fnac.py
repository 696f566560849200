"""FNAC: the contrast and the three gaps against loops and reference numbers, the warm-up, and limits."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops

GAPS = ("alike_sounds", "alike_pictures", "alike_regions")


def unit_vectors(*shape, seed=0, dim=-1):
    return ops.unit(torch.randn(*shape, generator=Generator().manual_seed(seed)), dim)


def step(places, sounds, recording, *words, progress=1.0):
    """The method's step where places [B, D, h, w] and sounds [B + X, D] are known."""
    method = tiny.run("fnac", *words).method()
    method.joint = lambda batch: (places, sounds, recording)
    return method({"progress": torch.full((len(places),), progress)})


def shares(row):
    total = sum(math.exp(x - max(row)) for x in row)
    return [math.exp(x - max(row)) / total for x in row]


def literal(places, sounds, temperature, bound):
    """The three gaps, one number at a time."""
    count = len(places)
    flat = [places[i].flatten(1).T.tolist() for i in range(count)]  # [place][channel]
    heard = sounds[:count].tolist()

    def inner(a, b):
        return sum(p * q for p, q in zip(a, b, strict=True))

    def mean(vectors, number):
        return [sum(column) / number for column in zip(*vectors, strict=True)]

    regions = []
    for i in range(count):
        own = [inner(place, heard[i]) for place in flat[i]]
        lit = [(s - min(own)) / (max(own) - min(own) + 1e-5) > bound for s in own]
        kept = [place if on else [0.0] * len(place) for place, on in zip(flat[i], lit, strict=True)]
        regions.append(mean(kept, len(kept)))
    looks = [mean(flat[i], len(flat[i])) for i in range(count)]
    cross = [
        [max(inner(place, heard[j]) for place in flat[i]) / temperature for j in range(count)] for i in range(count)
    ]

    def table(vectors):
        return [[inner(a, b) / temperature for b in vectors] for a in vectors]

    def gap(first, second):
        rows = [zip(shares(a), shares(b), strict=True) for a, b in zip(first, second, strict=True)]
        return sum(abs(p - q) for row in rows for p, q in row) / count**2

    return gap(table(heard), cross), gap(table(looks), cross), gap(table(heard), table(regions))


@pytest.mark.parametrize(("batch", "extra", "width"), [(2, 0, 3), (3, 2, 5), (5, 1, 4)])
@pytest.mark.parametrize("temperature", [0.03, 0.5])
def test_the_gaps_are_their_formulas(batch, extra, width, temperature):
    places, sounds = unit_vectors(batch, width, 2, 3, dim=1), unit_vectors(batch + extra, width, seed=1)
    found = step(places, sounds, torch.arange(batch), f"method.temperature={temperature}")
    expected = literal(places, sounds, temperature, 0.6)
    assert [found.metrics[name].item() for name in GAPS] == pytest.approx(expected, abs=1e-4)
    weighted = found.metrics["contrast"].item() + 50 * sum(expected)
    assert found.loss.item() == pytest.approx(weighted, rel=1e-3)


def test_contrast_and_gaps_are_the_reference_librarys():
    """Computed once in float64 with numpy and scipy:

    p = np.sin(np.arange(36) * 1.3).reshape(3, 3, 4); p /= np.linalg.norm(p, axis=1, keepdims=True)
    s = np.cos(np.arange(9) * 0.7).reshape(3, 3); s /= np.linalg.norm(s, axis=1, keepdims=True)
    c = np.einsum("idp,jd->ijp", p, s); z = c.max(2) / 0.1; own = c[range(3), range(3)]
    m = (own - own.min(1, keepdims=True)) / (np.ptp(own, axis=1, keepdims=True) + 1e-5) > 0.6
    f, g, q = (p * m[:, None]).mean(2), p.mean(2), lambda t: softmax(t / 0.1, 1)
    -(np.diag(log_softmax(z, 1)) + np.diag(log_softmax(z, 0))).mean() / 2
    abs(q(s @ s.T) - softmax(z, 1)).mean(), abs(q(g @ g.T) - softmax(z, 1)).mean(), abs(q(s @ s.T) - q(f @ f.T)).mean()
    """
    places = ops.unit((torch.arange(36) * 1.3).sin().reshape(3, 3, 2, 2), 1)
    sounds = ops.unit((torch.arange(9) * 0.7).cos().reshape(3, 3))
    found = step(places, sounds, torch.arange(3), "method.temperature=0.1").metrics
    assert found["contrast"].item() == pytest.approx(1.2184509958664433, rel=1e-4)
    expected = (0.45336028822177377, 0.1641127172979111, 0.178215392244296)
    assert [found[name].item() for name in GAPS] == pytest.approx(expected, rel=1e-3)


def test_the_warm_up_is_the_contrast_alone():
    places, sounds = unit_vectors(3, 4, 2, 2, dim=1), unit_vectors(3, 4, seed=1)
    before, after = (step(places, sounds, torch.arange(3), progress=share) for share in (0.14, 0.15))
    torch.testing.assert_close(before.loss, before.metrics["contrast"])
    assert after.loss > before.loss


def test_pictures_that_are_as_alike_as_their_sounds_have_no_gap():
    one = torch.eye(4)
    found = step(one[:, :, None, None].expand(4, 4, 2, 2), one, torch.arange(4)).metrics
    assert found["alike_sounds"].item() == pytest.approx(0, abs=1e-6)
    assert found["alike_pictures"].item() == pytest.approx(0, abs=1e-6)


def test_two_sounds_that_are_alike_may_fit_each_others_pictures():
    """Items 0 and 1 sound the same: fitting both costs nothing; by hand, showing another thing costs a row's 2/3."""
    sounds = torch.eye(3)[[0, 0, 2]]
    alike = sounds[:, :, None, None].expand(3, 3, 2, 2)
    apart = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])[:, :, None, None].expand(3, 3, 2, 2)
    costs = [step(places, sounds, torch.arange(3)).metrics["alike_sounds"] for places in (alike, apart)]
    assert [cost.item() for cost in costs] == pytest.approx([0, (2 / 3) / 9], abs=1e-6)


def test_every_parameter_learns_after_the_warm_up_and_the_loss_falls():
    run = tiny.run("fnac")
    method, batch = run.method(), run.batch(progress=1.0)
    losses = tiny.steps(method, [batch] * 12, tiny.optimizers(method))
    assert min(losses[-3:]) < losses[0] * 0.99
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.parameters())
