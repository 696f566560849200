"""Maps of a clip or a sound -> its course in time and its meaning."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from avssl import ops
from avssl.nn.dense import at_steps, frame_shares, window_unit


class Seen(NamedTuple):
    """A clip."""

    places: Tensor
    """[B, T, E, h, w], unit over the window at each place"""
    moments: Tensor
    """[B, T, E], unit over the window"""
    meaning: Tensor
    """[B, D], unit"""


class Heard(NamedTuple):
    """A sound."""

    moments: Tensor
    """[B, T, E], unit over the window"""
    meaning: Tensor
    """[B, D], unit"""


class Look(nn.Module):
    """Video maps [B, C, T, h, w] -> :class:`Seen`; its moments are looked at by attention over places."""

    def __init__(self, channels: int, width: int, moment_width: int, remove_mean: bool):
        super().__init__()
        self.remove_mean = remove_mean
        self.places = nn.Linear(channels, moment_width)
        self.attention = nn.Linear(channels, 1)
        self.moments = nn.Linear(channels, moment_width)
        self.meaning = nn.Linear(2 * channels, width)

    def forward(self, maps: Tensor) -> Seen:
        """Moments are attended to; meaning takes each feature where it is strongest, its mean and maximum over time."""
        each = maps.movedim(1, 4)  # [B, T, h, w, C]
        places = window_unit(self.places(each).movedim(4, 2), self.remove_mean)
        moments = window_unit(self.course(maps), self.remove_mean)
        strongest = each.flatten(2, 3).float().amax(2)  # [B, T, C]
        meaning = self.meaning(torch.cat([strongest.mean(1), strongest.amax(1)], 1))
        return Seen(places, moments, ops.unit(meaning))

    def course(self, maps: Tensor) -> Tensor:
        """What is looked at from step to step, before its size over the window is fixed, [B, T, E]."""
        each = maps.movedim(1, 4)  # [B, T, h, w, C]
        weights = self.attention(each).float().flatten(2, 4).softmax(2)  # [B, T, hw]
        looked: Tensor = self.moments(torch.einsum("btpc,btp->btc", each.flatten(2, 3).float(), weights))
        return looked

    def each_place(self, maps: Tensor) -> Tensor:
        """Unit vectors of meaning [B, T, h, w, D], as if each place at each moment were the whole clip."""
        places = maps.permute(0, 2, 3, 4, 1).float()
        return ops.unit(self.meaning(torch.cat([places, places], -1)))

    def whole_window(self, maps: Tensor, frames: int, stride: int, single: float) -> tuple[Tensor, Tensor]:
        """Each place over a window of frames, ``stride`` to a step: mean meaning [B, h, w, D], course [B, h, w, T E].

        The course's inner product with a sound's is the mean over frames of the scores that :class:`Look`'s places
        have, of which the single moment has the share ``single`` and the agreement over the window the rest.
        """
        course, meaning = self(maps).places, self.each_place(maps)
        shares = frame_shares(course, frames, stride)
        course = course * (1 - single + single * course.shape[1] * shares)
        return (meaning * shares).sum(1), course.permute(0, 3, 4, 1, 2).flatten(3)


class Listen(nn.Module):
    """Sound maps [B, C, t] -> :class:`Heard` at any number of moments."""

    def __init__(self, channels: int, width: int, moment_width: int, remove_mean: bool):
        super().__init__()
        self.remove_mean = remove_mean
        self.moments = nn.Conv1d(channels, moment_width, 1)
        self.meaning = nn.Linear(2 * channels, width)

    def forward(self, maps: Tensor, steps: int, filled: float = 1.0) -> Heard:
        """Moments are averages over the picture's steps (:func:`at_steps`); meaning sees mean and maximum over time."""
        maps = maps.float()
        moments = at_steps(self.course(maps), steps, filled).transpose(1, 2)
        meaning = self.meaning(torch.cat([maps.mean(2), maps.amax(2)], 1))
        return Heard(window_unit(moments, self.remove_mean), ops.unit(meaning))

    def course(self, maps: Tensor) -> Tensor:
        """What is heard from step to step, as fine as the encoder gives it, [B, E, t]."""
        heard: Tensor = self.moments(maps.float())
        return heard
