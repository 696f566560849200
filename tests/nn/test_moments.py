"""Look and Listen against loops: attention over places, moments that keep time, meaning that does not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from avssl.nn.moments import Listen, Look

SIZES = [(1, 4, 1, 1, 1), (2, 5, 3, 2, 4)]
"""clips, channels, moments, rows, columns"""


def made(kind, channels, remove_mean=False):
    torch.manual_seed(0)
    return kind(channels, 6, 3, remove_mean)


def maps(*shape):
    return torch.randn(shape, generator=Generator().manual_seed(1)) * 2


def line(layer, x):
    """A linear layer of one plain vector."""
    return [
        sum(w * value for w, value in zip(row, x, strict=True)) + bias
        for row, bias in zip(layer.weight.flatten(1).tolist(), layer.bias.tolist(), strict=True)
    ]


def over_window(rows, remove_mean):
    """Rows of a window -> unit over the window (up to the 1e-3 that guards the length)."""
    if remove_mean:
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        rows = [[x - m for x, m in zip(row, mean, strict=True)] for row in rows]
    length = math.sqrt(sum(x * x for row in rows for x in row)) + 1e-3
    return [[x / length for x in row] for row in rows]


def plain_unit(x):
    length = math.sqrt(sum(value**2 for value in x))
    return [value / length for value in x]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("remove_mean", [False, True])
def test_look_attends_for_moments_and_takes_the_strongest_for_meaning(size, remove_mean):
    look, x = made(Look, size[1], remove_mean), maps(*size)
    seen = look(x)
    clips, _, moments, rows, columns = size
    assert seen.places.shape == (clips, moments, 3, rows, columns)
    for b in range(clips):
        cells = [(r, c) for r in range(rows) for c in range(columns)]
        looked, strongest = [], []
        for t in range(moments):
            each = [x[b, :, t, r, c].tolist() for r, c in cells]
            weights = [math.exp(line(look.attention, cell)[0]) for cell in each]
            planes = list(zip(*each, strict=True))
            looked.append([sum(w * v for w, v in zip(weights, plane, strict=True)) / sum(weights) for plane in planes])
            strongest.append([max(values) for values in planes])
        expected = over_window([line(look.moments, row) for row in looked], remove_mean)
        torch.testing.assert_close(seen.moments[b], torch.tensor(expected), atol=1e-4, rtol=1e-3)
        over_time = list(zip(*strongest, strict=True))
        expected = plain_unit(line(look.meaning, [sum(v) / moments for v in over_time] + [max(v) for v in over_time]))
        torch.testing.assert_close(seen.meaning[b], torch.tensor(expected), atol=1e-4, rtol=1e-3)
        for r, c in cells:
            expected = over_window([line(look.places, x[b, :, t, r, c].tolist()) for t in range(moments)], remove_mean)
            torch.testing.assert_close(seen.places[b, :, :, r, c], torch.tensor(expected), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("steps", "moments"), [(8, 4), (10, 4), (3, 3), (2, 5), (7, 1)])
@pytest.mark.parametrize("remove_mean", [False, True])
def test_listen_averages_the_steps_of_each_moment(steps, moments, remove_mean):
    listen, x = made(Listen, 4, remove_mean), maps(2, 4, steps)
    heard = listen(x, moments)
    for b in range(2):
        each = [line(listen.moments, x[b, :, t].tolist()) for t in range(steps)]
        binned = []
        for moment in range(moments):
            first, last = moment * steps // moments, -(-(moment + 1) * steps // moments)
            binned.append([sum(column) / (last - first) for column in zip(*each[first:last], strict=True)])
        expected = over_window(binned, remove_mean)
        torch.testing.assert_close(heard.moments[b], torch.tensor(expected), atol=1e-4, rtol=1e-3)
        both = [sum(row) / steps for row in x[b].tolist()] + [max(row) for row in x[b].tolist()]
        expected = plain_unit(line(listen.meaning, both))
        torch.testing.assert_close(heard.meaning[b], torch.tensor(expected), atol=1e-4, rtol=1e-3)


def test_moments_by_hand():
    """Two steps of one plane, an identity: 3 and 4 over a length of 5; without their mean -1 and 1 over root 2."""
    for remove_mean, expected in ((False, [0.6, 0.8]), (True, [-(0.5**0.5), 0.5**0.5])):
        listen = Listen(1, 2, 1, remove_mean)
        listen.moments.weight.data.fill_(1e3)
        listen.moments.bias.data.fill_(0)
        assert listen(torch.tensor([[[3.0, 4.0]]]), 2).moments.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_moments_follow_time_and_meaning_does_not():
    look, listen, picture, sound = made(Look, 4), made(Listen, 4), maps(2, 4, 6, 2, 2), maps(2, 4, 6)
    for now, then in ((look(picture), look(picture.flip(2))), (listen(sound, 6), listen(sound.flip(2), 6))):
        torch.testing.assert_close(then.moments, now.moments.flip(1))
        torch.testing.assert_close(then.meaning, now.meaning)


def test_places_are_local_and_what_is_looked_at_does_not_depend_on_where_it_is():
    look, x = made(Look, 4), maps(1, 4, 3, 2, 3)
    changed = x.clone()
    changed[..., 1, 2] += 1
    moved = (look(changed).places - look(x).places).abs().amax((0, 1, 2))
    assert moved[1, 2] > 1e-3
    assert (moved.flatten()[:5] == 0).all()
    there, here = look(x.roll(1, 4)), look(x)
    torch.testing.assert_close(there.moments, here.moments)
    torch.testing.assert_close(there.meaning, here.meaning)


def test_each_place_has_the_meaning_of_a_clip_that_is_this_place():
    look, x = made(Look, 4), maps(2, 4, 3, 2, 2)
    each = look.each_place(x)
    assert each.shape == (2, 3, 2, 2, 6)
    alone = look(x[:, :, 1:2, :1, 1:]).meaning
    torch.testing.assert_close(each[:, 1, 0, 1], alone)
