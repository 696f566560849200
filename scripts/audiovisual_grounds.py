"""What audio-visual methods learn from and are judged on: a made-up world beside ESC-10's sounds, a GRID talker, and
spoken digits with pictures of digits.

Used by scripts/audiovisual.py.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import audiovisual_probes
import beds
import digits
import grid
from audiovisual_probes import Probing
from audiovisual_uses import Uses
from rich.console import Console

from avssl.embedding.alignment import Rule

WORDS = ("command", "colour", "preposition", "letter", "digit", "adverb")
"""what GRID's sentences are made of"""
WORLD_SECONDS = 0.48
"""of the world's windows in which a sentence is tried: its things sound for a short time"""
UNHEARD = ("theo", "yweweler")
"""speakers of digits who are asked about; the other four are learnt from"""
PICTURES = 3
"""of each recording of a digit that is learnt from"""


@dataclass(frozen=True)
class Ground:
    """A data set: what is learnt from, what is judged, what makes recordings relevant, by which figure finding is told,
    what encoders are asked, and what else a run is good for, if that is asked."""

    name: str
    learnt: Path
    listed: Path
    label: str
    figure: str
    probing: Probing
    uses: Uses | None

    def described(self) -> dict[str, Any]:
        """What a run is asked to be good for, for the rows."""
        return self.uses.described() if self.uses else {}


def ground(args: argparse.Namespace, on: str) -> Ground:
    """A data set, made where it is not there yet. Raises ValueError for recordings that are missing."""
    room: Path = args.output / on
    room.mkdir(parents=True, exist_ok=True)
    if on == "grid":
        listed = grid.listed(args.data / "grid", room)
        probing = Probing(room, (audiovisual_probes.of_manifest(listed, WORDS),))
        return Ground(on, listed, listed, "transcript", "r1", probing, Uses(room, listed, None, Rule()))
    if on == "digits":
        listed = room / "digits.jsonl"
        digits.without(digits.clips(room, args.data, PICTURES, 0), *UNHEARD).save(listed)
        probing = Probing(room, (audiovisual_probes.of_manifest(listed, ("digit",)),))
        return Ground(on, listed, listed, "digit", "ndcg10", probing, None)
    bed = beds.world(args.worlds or room, "easy", args.clips, args.side)
    listed = learnt = bed.manifest
    asked = [audiovisual_probes.of_manifest(listed, ("kind",))]
    console, sounds = Console(stderr=True), args.data / "esc10"
    if sounds.is_dir():
        asked.append(audiovisual_probes.of_esc10(sounds, room))
    if why := beds.missing("sounds", args.data):
        console.print(f"ESC-10 is not learnt from: {why}", highlight=False)
    else:
        learnt = beds.joined([bed, beds.of_sounds(room, args.data)], room / "learnt.jsonl")
    uses = Uses(room, listed, bed.truth, Rule(weight=0.4, at="begin"), WORLD_SECONDS)
    return Ground(on, learnt, listed, "kind", "ndcg10", Probing(room, tuple(asked)), uses)
