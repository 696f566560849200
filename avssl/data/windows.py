"""Where the windows of an item begin, and what is said in them. Pure functions of the item's span or phrases, what is
needed, and a generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator

from avssl.data.narration import FAR_SECONDS, Phrase, nearest_phrases, said_inside
from avssl.sample import Needs

_SLACK = 1e-6  # of a grid step: spans come from decoded times, which carry rounding


def grid_frames(seconds: float, fps: float) -> int:
    """How many points k / fps lie in [0, seconds); at least 1."""
    return max(1, math.ceil(seconds * fps - _SLACK))


def choose(
    start: float, end: float, needs: Needs, generator: Generator, phrases: Sequence[Phrase] = ()
) -> tuple[float, ...]:
    """Beginnings of ``needs.clips`` windows in an item, in seconds of presentation time, in order of time.

    They lie on the grid of 1 / fps seconds counted from the item's start. Windows stay inside the item where it is long
    enough; in a shorter one they begin at its start. ``clip_gap_seconds`` is kept where it fits, else the largest gap
    that fits is. ``phrases`` are those of the item.
    """
    last = last_place(start, end, needs)
    if needs.window == "all":
        places = _spread(needs.clips, last)
    elif needs.window in ("narration", "inside") and phrases:
        places = _around(start, needs, last, generator, phrases)
    else:
        places = _scattered(needs.clips, last, _gap(needs, last), generator)
    return tuple(start + place / needs.fps for place in sorted(places))


def last_place(start: float, end: float, needs: Needs) -> int:
    """The last grid point, counted from the item's start, at which a whole window fits; 0 where none does."""
    length = math.ceil(needs.window_seconds * needs.fps - _SLACK)
    return max(0, grid_frames(end - start, needs.fps) - max(1, length))


def _gap(needs: Needs, last: int) -> int:
    """Least distance between windows in grid steps, no more than fits."""
    wanted = math.ceil(needs.clip_gap_seconds * needs.fps - _SLACK)
    return min(wanted, last // (needs.clips - 1)) if needs.clips > 1 else 0


def _spread(clips: int, last: int) -> list[int]:
    return [round(k * last / max(1, clips - 1)) for k in range(clips)]


def _draw(below: int, generator: Generator) -> int:
    return int(torch.randint(below, (), generator=generator))


def _scattered(clips: int, last: int, gap: int, generator: Generator) -> list[int]:
    # Points at least `gap` apart are points of a shorter line, moved apart afterwards: uniform, without retries.
    free = last - gap * (clips - 1)
    places = sorted(_draw(free + 1, generator) for _ in range(clips))
    return [place + k * gap for k, place in enumerate(places)]


def _around(start: float, needs: Needs, last: int, generator: Generator, phrases: Sequence[Phrase]) -> list[int]:
    """Each window in the middle of a phrase drawn at random, of those that keep the gap to the windows before it.

    With ``window="inside"`` the window's middle is anywhere inside the phrase.
    """
    gap = _gap(needs, last)
    half = needs.window_seconds / 2
    middles = [phrase.middle for phrase in phrases]
    if needs.window == "inside":
        shares = torch.rand(len(phrases), generator=generator).tolist()
        middles = [p.start + share * (p.end - p.start) for p, share in zip(phrases, shares, strict=True)]
    centred = [min(last, max(0, round((middle - half - start) * needs.fps))) for middle in middles]
    places: list[int] = []
    for _ in range(needs.clips):
        apart = [place for place in centred if all(abs(place - other) >= gap for other in places)]
        if not apart:  # fewer phrases than windows
            apart = [p for p in range(last + 1) if all(abs(p - other) >= gap for other in places)] or centred
        places.append(apart[_draw(len(apart), generator)])
    return places


def in_turns(narration: Sequence[Phrase], generator: Generator) -> Sequence[Phrase]:
    """Phrases of several languages in an order drawn at random, so that of equally near ones each comes first."""
    if len({phrase.language for phrase in narration}) < 2:
        return narration
    return [narration[place] for place in torch.randperm(len(narration), generator=generator).tolist()]


def heard(narration: Sequence[Phrase], start: float, needs: Needs) -> list[Phrase]:
    """The phrases nearest to the middle of the window that begins at ``start``, as many as are needed; what is padded
    has no text and no time."""
    if needs.words_inside:
        narration = said_inside(narration, start, start + needs.window_seconds)
    near = nearest_phrases(narration, start + needs.window_seconds / 2, needs.narrations, FAR_SECONDS)
    return near + [Phrase(math.nan, math.nan, "")] * (needs.narrations - len(near))
