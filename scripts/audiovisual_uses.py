"""What a run is good for beyond finding: telling by how much a sound is late, and putting narration right.

Used by scripts/audiovisual.py. Both are asked of held-out recordings, trained and untrained; a method that cannot do
one of them is not asked. The moved clips are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import align
import numpy as np
import sync
from align import Said

from avssl.data.manifest import Manifest, Recording
from avssl.embedding import Embedder
from avssl.embedding.alignment import Aligner, Rule
from avssl.evaluation import in_sight
from avssl.methods.base import HasCourse, TellsAligned, TellsOffset
from avssl.sync import recording as judge
from avssl.train.build import Loaded

CLIPS, SPOKEN = 40, 40
"""recordings of the test part whose sound is moved, and whose narration is put right"""
HOP_SECONDS = 0.12
"""between windows in which a sentence is tried"""
SYNCHRONY, ERROR = "sound within a picture", "narration off by"
DROPPED, MISSED = "dropped rightly", "foreign ones dropped"
IN_SECONDS = (ERROR,)
"""figures that are no shares, and better when they are small"""
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Uses:
    """What is asked of a data set's runs.

    Args:
        room: folder of the moved clips.
        listed: the manifest.
        truth: of a made-up world; without it narration is spoiled at random, and what it was is the truth.
        rule: how narration may move.
        window: seconds of the windows in which a sentence is tried; None takes the run's.
    """

    room: Path
    listed: Path
    truth: Path | None
    rule: Rule
    window: float | None = None

    def figures(self, networks: Mapping[str, Loaded], tell: Callable[[int, int], None]) -> Figures:
        """Figure -> trained, untrained and chance; what comes from no network (raw narration) is chance."""
        asked: list[Callable[[], Figures]] = []
        method = networks["trained"].method
        if isinstance(method, TellsOffset | HasCourse) or (
            isinstance(method, TellsAligned) and networks["trained"].inputs.cfg.seconds + 2 * sync.MOST <= sync.SECONDS
        ):  # a clip that is too long beside the greatest move cannot be tried
            asked.append(lambda: self.synchrony(networks))
        known = {name for space in method.spaces.values() for name in space.modalities}
        if "text" in known and known & {"video", "image", "audio"}:
            asked.append(lambda: self.narration(networks))
        found: Figures = {}
        for done, one in enumerate(asked):
            tell(done, len(asked))
            found |= one()
        tell(len(asked), len(asked))
        return found

    def synchrony(self, networks: Mapping[str, Loaded]) -> Figures:
        """Share of moved sounds, of things in sight, whose offset is found within one picture."""
        held = Manifest.load(self.listed)
        late = sync.moves(CLIPS, 0)
        clips = in_sight(held.split("test"))[:CLIPS]
        paths = [self._moved(held, one, late[number]) for number, one in enumerate(clips)]
        frame = max(1 / one.video["fps"] for one in clips if one.video)
        shares = {"chance": sync.chance(frame)["shifted_within_one_frame"]}
        for who, loaded in networks.items():
            offsets = [judge.synchrony(loaded.method, loaded.inputs, path).offset for path in paths]
            found = np.array([np.inf if offset is None else offset for offset in offsets])
            shares[who] = float((np.abs(found - late[: len(found)]) <= frame).mean())
        return {SYNCHRONY: shares}

    def _moved(self, held: Manifest, one: Recording, late: float) -> Path:
        path = self.room / "moved" / f"{one.key.replace('/', '_')}{1000 * late:+.0f}.mp4"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync.cut(path, held, one, one, late)
        return path

    def narration(self, networks: Mapping[str, Loaded]) -> Figures:
        """Median error in seconds of sentences' times, dropped ones as they were, so that who keeps few wins nothing;
        and precision and recall of what is dropped."""
        held = Manifest.load(self.listed)
        recordings = [one for one in held.split("test") if one.narration][:SPOKEN]
        said = self._said(held, recordings)
        told = [replace(one, narration=tuple(row.phrase for row in said[one.key])) for one in recordings]
        found: Figures = {ERROR: {}, DROPPED: {}, MISSED: {}}
        for who, loaded in networks.items():
            embedder = Embedder(loaded.method, loaded.inputs, self.window)
            aligner = Aligner(embedder, replace(held, recordings=tuple(told)), self.rule, hop_seconds=HOP_SECONDS)
            figures = align.judged(aligner, said)
            found[ERROR] |= {who: figures["median_error_of_all"], "chance": figures["median_before"]}
            found[DROPPED] |= {who: figures["drop_precision"], "chance": figures["foreign"]}
            found[MISSED] |= {who: figures["drop_recall"]}
        return found

    def _said(self, held: Manifest, recordings: list[Recording]) -> dict[str, list[Said]]:
        if self.truth is not None:
            return align.of_world(recordings, self.truth)
        words = sorted(
            {word for one in held.split("train") for phrase in one.narration for word in phrase.text.split()}
        )
        spoiled: dict[str, list[Said]] = align.spoiled(recordings, words, 0)
        return spoiled

    def described(self) -> dict[str, Any]:
        """What tells one way of asking from another, for the rows."""
        rule = {"hop": HOP_SECONDS, "window": self.window, **asdict(self.rule)}
        moved = {"clips": CLIPS, "moved": [sync.LEAST, sync.MOST]}
        return {**moved, "spoken": SPOKEN, "error": "dropped as they were", **rule}
