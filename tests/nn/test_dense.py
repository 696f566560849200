"""Sound against places: each formula against loops and reference numbers, its limits, and what is a negative."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from avssl import ops
from avssl.config import InputsConfig
from avssl.inputs import Inputs
from avssl.nn.dense import (
    Calibration,
    at_steps,
    per_frame,
    place_then_time,
    similarity_volume,
    time_then_place,
    unheard,
    window_unit,
)

SIZES = [(1, 1, 1, 1, 1, 1), (2, 3, 4, 5, 2, 3), (3, 2, 1, 4, 3, 1), (4, 4, 5, 2, 1, 2)]
"""clips, sounds, moments, channels, rows, columns"""


def clips_and_sounds(v, a, t, d, h, w):
    draw = Generator().manual_seed(v * 10 + t)
    return torch.randn(v, t, d, h, w, generator=draw), torch.randn(a, t, d, generator=draw)


def smooth(values, sharpness):
    """log-mean-exp of a plain list."""
    return math.log(sum(math.exp(sharpness * x) for x in values) / len(values)) / sharpness


def inner(video, audio, i, j, t, y, x):
    return sum(video[i, t, c, y, x].item() * audio[j, t, c].item() for c in range(video.shape[2]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sharpness", [0.5, 4.0])
def test_place_then_time_is_its_formula(size, sharpness):
    video, audio = clips_and_sounds(*size)
    clips, sounds, moments, _, rows, columns = size
    found = place_then_time(similarity_volume(video, audio), sharpness)
    assert found.shape == (clips, sounds)
    for i in range(clips):
        for j in range(sounds):
            each = [
                smooth([inner(video, audio, i, j, t, y, x) for y in range(rows) for x in range(columns)], sharpness)
                for t in range(moments)
            ]
            assert found[i, j].item() == pytest.approx(sum(each) / moments, abs=1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sharpness", [0.5, 4.0])
def test_time_then_place_is_its_formula(size, sharpness):
    """Vectors are unit over the window, so the cosine over the window is the sum over its moments."""
    video, audio = clips_and_sounds(*size)
    clips, sounds, moments, _, rows, columns = size
    found = time_then_place(video, audio, sharpness)
    assert found.shape == (clips, sounds)
    for i in range(clips):
        for j in range(sounds):
            each = [
                sum(inner(video, audio, i, j, t, y, x) for t in range(moments))
                for y in range(rows)
                for x in range(columns)
            ]
            assert found[i, j].item() == pytest.approx(smooth(each, sharpness), abs=1e-4)


def test_both_aggregates_equal_their_references():
    """Computed once with scipy:

    v = np.sin(np.arange(48.0)).reshape(2, 3, 2, 2, 2); a = np.cos(np.arange(12.0)).reshape(2, 3, 2)
    vol = np.einsum("vtdhw,atd->vathw", v, a)
    ((logsumexp(5 * vol, (3, 4)) - np.log(4)) / 5).mean(2); (logsumexp(5 * vol.sum(2), (2, 3)) - np.log(4)) / 5
    """
    video = torch.arange(48, dtype=torch.float64).sin().view(2, 3, 2, 2, 2)
    audio = torch.arange(12, dtype=torch.float64).cos().view(2, 3, 2)
    first = [[0.3551599657495805, 0.4004461572662719], [0.5334273698526882, 0.5084820047837272]]
    second = [[0.4331542053047743, 0.3451625296343864], [0.4266888778455975, 0.3290944115614757]]
    expected = torch.tensor([first, second], dtype=torch.float64)
    torch.testing.assert_close(place_then_time(similarity_volume(video, audio), 5.0), expected[0])
    torch.testing.assert_close(time_then_place(video, audio, 5.0), expected[1])


@pytest.mark.parametrize("dim", [1, (1, 2)])
def test_the_smooth_maximum_lies_between_the_mean_and_the_maximum(dim):
    x = torch.randn(3, 4, 5, generator=Generator().manual_seed(0)).double()
    mean, most = x.mean(dim), x.amax(dim)
    torch.testing.assert_close(ops.soft_max(x, 1e-6, dim), mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(ops.soft_max(x, 1e6, dim), most, atol=1e-5, rtol=0)
    values = torch.stack([ops.soft_max(x, sharpness, dim) for sharpness in (0.1, 1.0, 10.0, 100.0)])
    assert (values[0] > mean).all()
    assert (values.diff(dim=0) > 0).all()
    assert (values[-1] < most).all()


def test_a_sound_that_hops_between_places_satisfies_only_place_then_time():
    """What tells the two apart: agreement with another place at each moment, or with one place all along."""
    audio = torch.ones(1, 4, 1)
    stays, hops = torch.zeros(1, 4, 1, 1, 4), torch.zeros(1, 4, 1, 1, 4)
    stays[:, :, :, :, 0] = 1
    hops[0, range(4), 0, 0, range(4)] = 1
    each = [place_then_time(similarity_volume(clip, audio), 50.0).item() for clip in (stays, hops)]
    assert each[0] == pytest.approx(each[1])
    assert time_then_place(stays, audio, 50.0) > time_then_place(hops, audio, 50.0) + 2


@pytest.mark.parametrize("remove_mean", [False, True])
@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 3, 4, 2, 3)])
def test_window_unit_is_unit_over_the_window_at_each_place(shape, remove_mean):
    x = torch.randn(shape, generator=Generator().manual_seed(0)) * 3 + 1
    found = window_unit(x, remove_mean)
    for b in range(shape[0]):
        for place in range(math.prod(shape[3:])):
            plain = x[b].flatten(2)[:, :, place] if len(shape) > 3 else x[b]
            if remove_mean:
                plain = plain - sum(plain) / shape[1]
            length = math.sqrt(sum(value**2 for value in plain.flatten().tolist()))
            own = found[b].flatten(2)[:, :, place] if len(shape) > 3 else found[b]
            torch.testing.assert_close(own, plain / length, atol=1e-3, rtol=1e-3)
            if remove_mean:
                torch.testing.assert_close(own.sum(0), torch.zeros(shape[2]), atol=1e-5, rtol=0)


def test_window_unit_by_hand():
    x = torch.tensor([[[3.0], [1.0]]])
    assert window_unit(x * 1e3, False).flatten().tolist() == pytest.approx([3 / 10**0.5, 1 / 10**0.5], abs=1e-5)
    assert window_unit(x * 1e3, True).flatten().tolist() == pytest.approx([0.5**0.5, -(0.5**0.5)], abs=1e-5)


def test_a_window_in_which_nothing_changes_has_no_direction_and_a_finite_gradient():
    x = torch.full((1, 4, 2), 4.0, requires_grad=True)
    found = window_unit(x, True)
    assert (found == 0).all()
    (found * torch.randn(1, 4, 2)).sum().backward()
    assert x.grad.isfinite().all()
    still = torch.full((1, 3, 2), 4.0) + torch.tensor([[[1e-7], [0.0], [0.0]]])
    assert window_unit(still, True).abs().max() < 1e-2, "rounding is not blown up to a direction"


@pytest.mark.parametrize("shape", [(1, 2), (3, 3), (2, 7)])
@pytest.mark.parametrize("some", [False, True])
def test_calibration_is_its_formula(shape, some):
    draw = Generator().manual_seed(shape[1])
    similarity = torch.rand(shape, generator=draw) * 2 - 1
    positive = torch.eye(*shape, dtype=torch.bool)
    valid = positive | (torch.rand(shape, generator=draw) < 0.5) if some else torch.ones_like(positive)
    valid[0, 1] = True
    calibration = Calibration()
    calibration.bias.data.fill_(-1.5)
    sums = {True: [], False: []}
    for row in range(similarity.shape[0]):
        for column in range(similarity.shape[1]):
            own = bool(positive[row, column])
            logit = 10 * similarity[row, column].item() - 1.5
            if own or valid[row, column]:
                sums[own].append(math.log(1 + math.exp(-logit if own else logit)))
    expected = 0.5 * sum(sum(losses) / len(losses) for losses in sums.values())
    assert calibration(similarity, positive, valid).item() == pytest.approx(expected, rel=1e-4)


def test_calibration_equals_its_reference():
    """Computed once with scipy, for the scale 10 and the bias -5 it starts with:

    z = 10 * np.sin(np.arange(6.0)).reshape(2, 3) - 5; own = np.eye(2, 3, dtype=bool)
    0.5 * (-np.log(expit(z[own])).mean() - np.log(expit(-z[~own])).mean())
    """
    own = torch.eye(2, 3, dtype=torch.bool)
    loss = Calibration()(torch.arange(6.0).sin().view(2, 3), own, torch.ones_like(own))
    assert loss.item() == pytest.approx(5.341667163834351, rel=1e-5)


def test_calibration_raises_pairs_and_lowers_negatives_but_not_what_does_not_count():
    similarity = torch.zeros(3, 4, requires_grad=True)
    own = torch.eye(3, 4, dtype=torch.bool)
    valid = torch.ones(3, 4, dtype=torch.bool)
    valid[1, 2] = False
    Calibration()(similarity, own, valid).backward()
    assert (similarity.grad[own] < 0).all()
    assert similarity.grad[1, 2] == 0
    assert (similarity.grad[valid & ~own] > 0).all()


@pytest.mark.parametrize(("steps", "stride", "frames"), [(1, 1, 1), (5, 4, 20), (3, 2, 5), (2, 4, 7), (4, 1, 4)])
def test_each_frame_has_the_scores_of_its_step(steps, stride, frames):
    scores = torch.randn(2, steps, 3, 2)
    found = per_frame(scores, frames, stride)
    assert found.shape == (2, frames, 3, 2)
    for frame in range(frames):
        assert torch.equal(found[:, frame], scores[:, frame // stride])


def test_unheard_is_every_eighth_noise_and_silence():
    inputs = Inputs(InputsConfig(mels=16))
    noise = torch.rand(17, 40, 16)
    found = unheard(noise, -1.0)
    assert found.shape == (4, 40, 16)
    assert torch.equal(found[:3], noise[[0, 8, 16]])
    wave = torch.zeros(round(0.4 * inputs.cfg.hz))
    torch.testing.assert_close(found[3], inputs.audio(wave), atol=1e-5, rtol=0)


def test_steps_that_reach_beyond_the_sound_keep_its_time():
    """25 pictures in steps of 4: each step is the mean of its own four pictures' time, the last of what there is."""
    sound = torch.arange(50.0).expand(1, 1, 50)  # two steps of sound per picture
    found = at_steps(sound, 7, 25 / 28)[0, 0]
    for step in range(6):
        assert found[step] == sound[0, 0, 8 * step : 8 * step + 8].mean()
    assert 48 <= found[6] <= 49
    assert torch.equal(at_steps(sound, 5, 1.0), sound.unflatten(2, (5, 10)).mean(3)), "nothing to keep where all fits"
