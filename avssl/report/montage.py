"""What a run finds and where it looks, to be played: queries with their nearest recordings, and overlays."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.data.manifest import Manifest, Recording
from avssl.data.media import Unreadable
from avssl.data.narration import FAR_SECONDS, nearest
from avssl.embedding.window import Window
from avssl.evaluation.middles import middle_of
from avssl.localize import film
from avssl.localize.heatmap import Query
from avssl.localize.looking import Looking
from avssl.methods.base import localizes
from avssl.report.clips import Budget, Clip
from avssl.report.looks import look_of, looks
from avssl.report.page import Markup, join, tag
from avssl.train.build import Loaded

MOST_RECORDINGS = 300
"""of the split, spread over it: a page shows examples, it is no evaluation"""
QUERIES, HITS, OVERLAYS = 3, 4, 6
MOST_SECONDS = 20.0
"""of a recording that is scrubbed through"""
STILL_HEIGHT = 96
"""pixels, of many stills side by side"""
DIRECTIONS = (("text", "video"), ("audio", "video"), ("video", "audio"))
NAMES = {"text": "words", "audio": "sound", "video": "picture"}


class Shelf:
    """Recordings and what a page shows of each.

    Args:
        loaded: the run.
        manifest: of the recordings.
        split: the one shown.
        budget: what clips may take.
    """

    def __init__(self, loaded: Loaded, manifest: Manifest, split: str, budget: Budget):
        held = manifest.split(split)
        places = np.unique(np.linspace(0, len(held) - 1, min(len(held), MOST_RECORDINGS)).round().astype(int))
        self.loaded, self.manifest, self.budget = loaded, manifest, budget
        self.recordings = [held[place] for place in places]
        self.window = Window(loaded.inputs)
        self._made: dict[int, Clip | str | None] = {}
        self._stills: dict[int, str | None] = {}

    def words(self, index: int) -> str:
        """What is said at the middle of a recording."""
        recording = self.recordings[index]
        moment = middle_of(recording, self.window) + self.window.seconds / 2
        return nearest(recording.narration, moment, 1, FAR_SECONDS)[0]

    def about(self, index: int) -> str:
        """The recording's labels, in a few words."""
        return ", ".join(value for value in self.recordings[index].labels.values() if value)

    def card(self, index: int, note: str, kind: str = "") -> Markup:
        """A recording as a figure with a player, or with its name where the page is full."""
        recording = self.recordings[index]
        caption = tag(
            "figcaption", tag("b", note), " ", self.about(index) or recording.key, tag("br"), self.words(index)
        )
        return tag("figure", self._player(index), caption, klass=kind or None)

    def still(self, index: int) -> Markup:
        """The picture at the middle of a recording, small, or its name where the page is full."""
        recording = self.recordings[index]
        if (known := self._stills.get(index)) is not None:
            self._stills[index] = self.budget.again(known)
        elif index not in self._stills:
            at = 0.0 if recording.is_picture else middle_of(recording, self.window) + self.window.seconds / 2
            try:
                self._stills[index] = self.budget.picture(self.manifest.path_of(recording), at, STILL_HEIGHT)
            except Unreadable:
                self._stills[index] = None
        made = self._stills[index]
        if made is None:
            return tag("div", recording.key, klass="words soft")
        return tag("img", src=made, alt=recording.key)

    def words_card(self, index: int) -> Markup:
        """What is said, as a query."""
        return tag(
            "figure", tag("div", f"“{self.words(index)}”", klass="words"),
            tag("figcaption", tag("b", "query"), " ", self.about(index)), klass="query",
        )  # fmt: skip

    def _player(self, index: int) -> Markup:
        if index not in self._made:
            self._made[index] = self._make(index)
        elif (known := self._made[index]) is not None:
            self._made[index] = self.budget.again(known)
        made = self._made[index]
        if made is None:
            return tag("div", self.recordings[index].key, klass="words soft")
        return player(made)

    def _make(self, index: int) -> Clip | str | None:
        recording = self.recordings[index]
        path, start = self.manifest.path_of(recording), middle_of(recording, self.window)
        try:
            if recording.video is None:
                return self.budget.sound(path, start, start + self.window.seconds)
            return self.budget.clip(path, start, start + self.window.seconds)
        except Unreadable:
            return None


PLAYERS = (Path(__file__).parent / "players.js").read_text(encoding="utf-8")
"""the script of a page with players; without it they work, and their controls hide the pictures"""


def player(made: Clip | str) -> Markup:
    """A video with its still, or a sound."""
    if isinstance(made, Clip):
        return tag(
            "video", controls=True, loop=True, preload="none", playsinline=True, src=made.address, poster=made.poster
        )
    return tag("div", tag("audio", controls=True, preload="none", src=made), klass="words")


def found(shelf: Shelf, label: str, vectors: Mapping[str, Mapping[int, NDArray[np.float32]]]) -> list[Markup]:
    """For each direction from one modality to another a heading and rows: a query and its nearest recordings.

    Args:
        shelf: the recordings.
        label: name of the label that tells queries apart, "" for none.
        vectors: modality -> recording -> unit vector [D].
    """
    parts: list[Markup] = []
    for source, target in DIRECTIONS:
        if source not in vectors or target not in vectors:
            continue
        parts.append(tag("h3", f"From {NAMES[source]} to {NAMES[target]}"))
        for query in _queries(vectors[source], shelf.recordings, label):
            parts.append(_row(shelf, vectors[source], vectors[target], query, source, label))
    return parts


def _queries(vectors: Mapping[int, NDArray[np.float32]], recordings: Sequence[Recording], label: str) -> list[int]:
    """A few queries, of different labels where there are any."""
    chosen: list[int] = []
    seen: set[str] = set()
    for index in sorted(vectors):
        kind = recordings[index].labels.get(label, "") if label else str(index)
        case = recordings[index].labels.get("case", "")
        if kind and kind not in seen and case not in ("silent", "offscreen"):
            seen.add(kind)
            chosen.append(index)
    return chosen[:QUERIES]


def _row(
    shelf: Shelf, queries: Mapping[int, NDArray[np.float32]], gallery: Mapping[int, NDArray[np.float32]], query: int,
    source: str, label: str,
) -> Markup:  # fmt: skip
    candidates = sorted(gallery)
    scores = np.stack([gallery[index] for index in candidates]) @ queries[query]
    order = np.argsort(-scores, kind="stable")[:HITS]
    cards = [shelf.words_card(query) if source == "text" else shelf.card(query, "query", "query")]
    kind = shelf.recordings[query].labels.get(label, "") if label else ""
    for rank, place in enumerate(order, 1):
        index = candidates[place]
        alike = index == query or (kind and shelf.recordings[index].labels.get(label, "") == kind)
        told = "its own, " if index == query else ""
        cards.append(shelf.card(index, f"{rank}. {told}{scores[place]:.2f}", "right" if alike else ""))
    return tag("div", *cards, klass="row")


def located(shelf: Shelf, folder: Path, words: Sequence[str] = ()) -> list[Markup]:
    """A few recordings with picture and sound, to be scrubbed through with several queries, and stills of each.

    The queries are its own sound and that of another recording, which should light nothing; for a method that
    localizes texts the ``words`` given, or else what is said in it and in the other. Scales are the run's own; before
    ``avssl evaluate`` has chosen them, queries that mean nothing set them.
    """
    loaded = shelf.loaded
    if not localizes(loaded.method):
        return []
    both = [index for index, held in enumerate(shelf.recordings) if held.video is not None and held.audio is not None]
    chosen = _spread(both, shelf.recordings)
    look = Looking(folder, loaded.digest, loaded.method, loaded.inputs)
    shown: list[dict[str, Any]] = []
    sheets: list[Markup] = []
    for place, index in enumerate(chosen):
        recording, other = shelf.recordings[index], chosen[place - 1]
        path = shelf.manifest.path_of(recording)
        queries: dict[str, Query] = {"its own sound": None}
        if other != index:
            queries[f"the sound of {shelf.recordings[other].key}"] = shelf.manifest.path_of(shelf.recordings[other])
        if localizes(loaded.method, "text") and loaded.inputs.vocabulary is not None:
            said = words or dict.fromkeys((shelf.words(index), shelf.words(other)))
            queries |= {f"“{text}”": text for text in said if text and loaded.inputs.vocabulary.knows(text)}
        try:
            found = look(path, queries, span=_middle(recording))
            made = look_of(path, found, recording.key, shelf.about(index), budget=shelf.budget)
            with TemporaryDirectory() as aside:
                film.stills(path, Path(aside) / "stills.png", found[:1], 160)
                sheet = shelf.budget.file("image/png", Path(aside) / "stills.png")
        except Unreadable:
            continue
        if made is not None:
            shown.append(made)
        if sheet is not None:
            picture = tag("img", src=sheet, alt=f"stills of {recording.key} with what is lit", loading="lazy")
            caption = tag("figcaption", tag("b", recording.key), " ", shelf.about(index))
            sheets.append(tag("figure", picture, caption, klass="strip"))
    parts = [looks(shown)] if shown else []
    if sheets:
        parts.append(tag("details", tag("summary", "stills of what their own sound lights"), *sheets))
    return [join(parts)] if parts else []


def _middle(recording: Recording) -> tuple[float, float] | None:
    """The part of a recording that a page has room for."""
    if recording.seconds <= MOST_SECONDS:
        return None
    start = (recording.seconds - MOST_SECONDS) / 2
    return start, start + MOST_SECONDS


def _spread(indices: Sequence[int], recordings: Sequence[Recording]) -> list[int]:
    """A few recordings: one of each case first, where there are cases, then the others in order."""
    first: dict[str, int] = {}
    for index in indices:
        first.setdefault(recordings[index].labels.get("case", ""), index)
    chosen = list(first.values())
    return [*chosen, *(index for index in indices if index not in chosen)][:OVERLAYS]
