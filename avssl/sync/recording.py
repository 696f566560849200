"""Is a recording's sound in step with its picture? A network looks and listens, stretch by stretch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avssl.data.media import probe
from avssl.data.still import PICTURE_FORMATS
from avssl.embedding.window import Window
from avssl.inputs import Inputs
from avssl.methods.base import HasCourse, Method, TellsAligned, TellsOffset
from avssl.ops import is_silent
from avssl.sync.asked import Asked
from avssl.sync.curve import peak
from avssl.sync.evidence import Evidence, Slid, Told, Tried, is_still
from avssl.sync.span import both_there

REACH_SECONDS = 1.0
"""greatest offset that is looked for, either way, by a method that has none of its own"""
TOLERANCE_SECONDS = 0.1
"""offsets up to here are in sync: two and a half pictures at 25 per second"""
MOST_SECONDS = 60.0
"""of a long recording that are looked at, spread over all of it"""
LEAST_SECONDS = 0.5
LEAST_TRIED = 2
"""pictures on either side of a clip by which its sound is moved at least"""


@dataclass(frozen=True)
class Synchrony:
    """What was found about one recording."""

    path: str
    verdict: str
    """in sync; shifted: the sound fits at another time; dubbed: it fits at no offset; silent or still: no evidence"""
    offset: float | None
    """seconds by which the sound is late (early where negative); None where there is no evidence"""
    confidence: float
    """how much better the best offset fits than the others do: 0..1 for a method that tells offsets, else 0..2"""
    looked_at_seconds: float

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def synchrony(
    method: Method[Any],
    inputs: Inputs,
    path: str | Path,
    *,
    reach_seconds: float | None = None,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    asked: Asked = Asked(),
    most_seconds: float = MOST_SECONDS,
    sound_of: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> Synchrony:
    """By how much sound and picture of a recording are apart.

    Args:
        method: one that compares sound and picture step by step (:class:`HasCourse`), that tells whether a sound is
            of the time of a clip (:class:`TellsAligned`), or that tells offsets (:class:`TellsOffset`); on ``device``
            and in eval mode.
        inputs: the run's.
        path: the recording.
        reach_seconds: greatest offset that is looked for; what :func:`reach_of` says unless given.
        tolerance_seconds: greatest offset that is called in sync.
        asked: least confidence; below it the recording is called dubbed.
        most_seconds: of a long recording that are looked at.
        sound_of: another recording, whose sound is taken from the same seconds on in place of its own.
        device: where the method is.

    Raises ValueError for a method of none of these kinds, a reach beyond its own, and for a recording without picture
    or sound, or too short.
    """
    path = Path(path)
    heard = path if sound_of is None else Path(sound_of)
    reach = reach_of(method, reach_seconds)
    spans = [_span(each) for each in dict.fromkeys((path, heard))]
    began, ended = max(span[0] for span in spans), min(span[1] for span in spans)
    seconds = ended - began
    evidence: Evidence
    if isinstance(method, TellsOffset):
        evidence = Told(method, inputs, reach, torch.device(device))
        least = evidence.seconds
    elif isinstance(method, HasCourse):
        evidence = Slid(method, inputs, seconds, reach, torch.device(device))
        least = LEAST_SECONDS
    else:
        assert isinstance(method, TellsAligned)
        evidence = Tried(method, inputs, seconds, reach, torch.device(device))
        least = inputs.cfg.seconds + 2 * LEAST_TRIED / inputs.cfg.fps
    if seconds < least - 0.5 / inputs.cfg.fps:
        raise ValueError(
            f"{path}: has picture and sound together for {max(0.0, seconds):.2f} s; at least {least:g} s are needed"
        )
    window, loud, fitting = Window(inputs, evidence.seconds), False, 0
    for start in spread(began, ended, evidence.seconds, most_seconds):
        seen = window.read(path, [start], video=True, audio=heard == path)
        said = seen if heard == path else window.read(heard, [start], video=False, audio=True)
        assert seen.video is not None
        assert said.audio is not None
        still, silent = is_still(seen.video[0]), is_silent(said.audio[0])
        loud = loud or not silent
        if not (still or silent):
            evidence.add(seen.video, said.audio)
            fitting += 1
    if not fitting:
        return Synchrony(str(path), "still" if loud else "silent", None, 0.0, 0.0)
    offset, confidence = peak(evidence.offsets, evidence.fits())
    verdict = asked.verdict(offset, confidence, tolerance_seconds)
    looked_at = round(min(seconds, fitting * evidence.seconds), 3)
    return Synchrony(str(path), verdict, round(offset, 3), round(confidence, 3), looked_at)


def _span(path: Path) -> tuple[float, float]:
    """From when to when there are picture and sound. Raises ValueError where one of them is missing."""
    header = probe(path)
    if not header.pictures or header.format in PICTURE_FORMATS:
        raise ValueError(f"{path}: has no moving picture; sync compares sound and picture")
    if not header.sounds:
        raise ValueError(f"{path}: has no sound; sync compares sound and picture")
    return both_there(path, header)


def refuse_unless_timed(method: Method[Any]) -> None:
    """Raise ValueError for a method that cannot tell how far sound and picture are apart."""
    if not isinstance(method, HasCourse | TellsOffset | TellsAligned):
        raise ValueError(
            f"{method.cfg.name} does not tell whether sound and picture are of one time; trimodal, sync_offset, "
            "multisensory and avts do"
        )


def reach_of(method: Method[Any], asked: float | None = None) -> float:
    """The greatest offset in seconds that is looked for: as asked, or all that a method names, or 1.

    Raises ValueError for a method that tells no offsets, and for a reach that is not above 0 or beyond those it names.
    """
    refuse_unless_timed(method)
    if asked is not None and not asked > 0:
        raise ValueError(f"a reach of {asked:g} s; it must be above 0")
    if not isinstance(method, TellsOffset):
        return asked or REACH_SECONDS
    own, step = max(map(abs, method.offsets)), method.offsets[1] - method.offsets[0]
    if asked and not step - 1e-6 <= asked <= own + 1e-6:
        raise ValueError(
            f"a reach of {asked:g} s; {method.cfg.name} was trained to name offsets of {step:g} to {own:g} s: ask for "
            "one of these, or train it with more (method.offsets, method.step_pictures)"
        )
    return asked or own


def spread(began: float, ended: float, stretch: float, most: float) -> list[float]:
    """Beginnings of stretches from ``began`` to ``ended``, evenly spread: as many as cover that, or ``most`` seconds.

    On a grid of a hundredth of a second, so that picture and sound begin at the same time.
    """
    first, last = math.ceil(began * 100 - 1e-6), math.floor((ended - stretch) * 100 + 1e-6)
    count = max(1, math.ceil(min(ended - began, most) / stretch - 0.05))
    return [math.floor(start + 1e-6) / 100 for start in np.linspace(first, max(first, last), count).tolist()]
