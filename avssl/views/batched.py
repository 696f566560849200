"""Views of pictures that are drawn item by item and made batch by batch, on the device on which the batch is.

What is drawn for an item is a row of numbers for each view, evenly from 0..1; :mod:`avssl.views.changes` knows what
they decide. So a loader's worker has next to nothing to do, and where there is a GPU the views are made there. On a CPU
a re-coloured view of 64 x 64 pixels takes a quarter of the time that it takes alone, one of 96 x 96 a third.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from avssl.sample import Sample
from avssl.views.changes import CHANGES, Change, Setting, Told, some

POLICY: tuple[tuple[Change, float], ...] = (("crop", 1.0), ("flip", 0.5), ("color", 0.8), ("gray", 0.2))
"""how often a view is changed so (Chen et al., 2020); those of large pictures are also blurred"""
CACHED, MOST = 1 << 20, 1 << 26
"""values of the pictures that are made at once: on a CPU about what its caches hold, elsewhere what memory does"""


class Views:
    """One picture -> what decides its views; and a batch of that -> the views.

    Args:
        changes: what is done to a view, one after the other, and how often to each view.
        area: least share of the picture that a crop shows.
        strength: of the colour changes.
        draws: K, large numbers that go with an item, with which negatives are drawn.
        count: how many views there are.
    """

    def __init__(
        self,
        changes: Sequence[tuple[Change, tuple[float, ...]]],
        area: float,
        strength: float,
        draws: int = 0,
        count: int = 2,
    ):
        assert all(len(chances) == count for _, chances in changes), "a change has a chance for each view"
        self.changes, self.area, self.strength = tuple(changes), area, strength
        self.draws, self.count = draws, count
        self.dice = sum(1 + CHANGES[name].dice for name, _ in self.changes)

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """picture uint8 [3, H, W], dice float [views, n], draw int64 [K]; all from one generator."""
        drawn = {"picture": sample.video[0, 0], "dice": torch.rand(self.count, self.dice, generator=generator)}
        if self.draws:
            drawn["draw"] = torch.randint(1 << 62, (self.draws,), generator=generator)
        return drawn

    def made(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The views of a batch's pictures [B, 3, H, W] with their dice: uint8 [views * B, 3, H, W], first ones first.

        A view is a function of its picture and its dice, whatever else is in the batch.
        """
        pictures, dice = batch["picture"], batch["dice"]
        to = Setting(self.area, self.strength, pictures.shape[2], pictures.shape[3])
        each = max(1, (CACHED if pictures.device.type == "cpu" else MOST) // pictures[0].numel())
        found = pictures.new_empty(self.count, *pictures.shape)
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            for which, view in enumerate(found):
                told = self._told(dice[:, which], which, to)
                for begin in range(0, len(pictures), each):
                    part = slice(begin, begin + each)
                    x = pictures[part].float()
                    for name, chosen, meant in told:
                        x = some(x, chosen[part], CHANGES[name].make, *(one[part] for one in meant))
                    view[part] = x + 0.5  # rounded, for bytes leave out what follows the point
        return found.flatten(0, 1)

    def _told(self, dice: Tensor, which: int, to: Setting) -> list[tuple[Change, Tensor, Told]]:
        """Each change of one view, whom it changes, bool [B], and how."""
        told, at = [], 0
        for name, chances in self.changes:
            own = dice[:, at + 1 : at + 1 + CHANGES[name].dice]
            if chances[which]:
                told.append((name, dice[:, at] < chances[which], CHANGES[name].told(own, to)))
            at += 1 + CHANGES[name].dice
        return told


class OneView(Views):
    """One view of a picture, cropped and mirrored; ``area`` and ``draws`` as :class:`TwoViews` has them.

    On a CPU it takes as long as alone at 64 x 64 pixels, and longer when larger: what is won is the workers' time.
    """

    def __init__(self, area: float, draws: int = 0):
        super().__init__([("crop", (1.0,)), ("flip", (0.5,))], area, 0.0, draws, count=1)


class TwoViews(Views):
    """Two views of a picture: cropped, mirrored, re-coloured, blurred (those of Chen et al., 2020).

    ``area`` is the least share of the picture that a view shows, ``strength`` that of the colour changes, ``blurred``
    and ``solarized`` the chances of each view to be so; ``draws`` large numbers with which negatives are drawn.
    """

    def __init__(
        self,
        area: float,
        strength: float,
        blurred: tuple[float, float] = (0.0, 0.0),
        solarized: tuple[float, float] = (0.0, 0.0),
        draws: int = 0,
    ):
        changes = [(name, (chance, chance)) for name, chance in POLICY]
        super().__init__([*changes, ("blur", blurred), ("solarize", solarized)], area, strength, draws)


class Shown:
    """What people look at: a picture, its views, and what each of some changes makes of it by itself.

    ``drawn`` tells whether all that goes with a picture stays there, for methods that show what they make of a view.
    """

    def __init__(self, views: Views, each: Sequence[Change] = (), *, drawn: bool = False):
        self.views, self.drawn = views, drawn
        self.each = {name: Views([(name, (1.0,))], views.area, views.strength, count=1) for name in each}

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """picture, view (or first and second), and each change by its name, uint8 [3, H, W]."""
        drawn = self.views(sample, generator, progress)
        names = ("view",) if self.views.count == 1 else ("first", "second")
        shown = {"picture": drawn["picture"], **dict(zip(names, _one(self.views, drawn), strict=True))}
        shown |= drawn if self.drawn else {}
        return shown | {name: _one(views, views(sample, generator, progress))[0] for name, views in self.each.items()}


def _one(views: Views, drawn: Mapping[str, Tensor]) -> Tensor:
    """The views of one picture, uint8 [views, 3, H, W]."""
    return views.made({name: x[None] for name, x in drawn.items()})
