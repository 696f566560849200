"""What audio-visual methods learn from and are judged on: a made-up world beside ESC-10's sounds, and a GRID talker.

Used by scripts/audiovisual.py.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import audiovisual_probes
import beds
import grid
from audiovisual_probes import Probing
from audiovisual_uses import Uses
from rich.console import Console

from avssl.embedding.alignment import Rule

WORDS = ("command", "colour", "preposition", "letter", "digit", "adverb")
"""what GRID's sentences are made of"""
WORLD_SECONDS = 0.48
"""of the world's windows in which a sentence is tried: its things sound for a short time"""


@dataclass(frozen=True)
class Ground:
    """A data set: what is learnt from, what is judged, what makes recordings relevant, by which figure finding is told,
    what encoders are asked, and what else a run is good for."""

    name: str
    learnt: Path
    listed: Path
    label: str
    figure: str
    probing: Probing
    uses: Uses


def ground(args: argparse.Namespace, on: str) -> Ground:
    """A data set, made where it is not there yet. Raises ValueError for recordings that are missing."""
    room: Path = args.output / on
    room.mkdir(parents=True, exist_ok=True)
    if on == "grid":
        listed = grid.listed(args.data / "grid", room)
        probing = Probing(room, (audiovisual_probes.of_manifest(listed, WORDS),))
        return Ground(on, listed, listed, "transcript", "r1", probing, Uses(room, listed, None, Rule()))
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
