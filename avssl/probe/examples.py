"""Labeled files: what a probe is fitted on and judged on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avssl.data.narration import Phrase
from avssl.data.suffixes import AUDIO, IMAGE, VIDEO

LEAST_CLASSES = 2


@dataclass(frozen=True)
class Example:
    """One labeled file.

    ``part`` is train, val or test. Where ``fold`` is not empty, parts are made of folds instead: each fold is the test
    part once. Examples of one ``group`` (a speaker, a source) never stand on both sides of a cut. ``seconds`` is None
    where nobody has measured.
    """

    path: Path
    name: str
    label: str
    part: str = "train"
    fold: str = ""
    group: str = ""
    kinds: frozenset[str] = frozenset()
    seconds: float | None = None
    sha256: str = ""
    phrases: tuple[Phrase, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Examples:
    """A label set: its name, its examples in a fixed order, a line for each file that is not among them though it was
    found, and what people must know of its files."""

    name: str
    examples: tuple[Example, ...]
    left_out: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if len(self.classes) < LEAST_CLASSES:
            held = f"all are {self.classes[0]!r}" if self.classes else "none is labeled"
            raise ValueError(f"{self.name}: {len(self.examples)} examples and {held}; a probe tells classes apart")

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; the number of a class is its place."""
        return tuple(sorted({example.label for example in self.examples}))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers, int64 [N]."""
        number = {name: place for place, name in enumerate(self.classes)}
        return np.array([number[example.label] for example in self.examples], np.int64)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """What every example holds: of image, video, audio, text."""
        return frozenset.intersection(*(example.kinds for example in self.examples))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over contents, labels and parts: equal digests, equal questions."""
        told = hashlib.sha256()
        for example in self.examples:
            content = example.sha256 or content_of(example.path)
            said = "|".join(phrase.text for phrase in example.phrases)
            told.update(repr((content, example.label, example.part, example.fold, example.group, said)).encode())
        return told.hexdigest()

    def fewer(self, per_class: int) -> Examples:
        """At most so many of each class in each part or fold, always the same ones; all of them for 0."""
        if per_class <= 0:
            return self
        cells: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for place, example in enumerate(self.examples):
            cells[example.part, example.fold, example.label].append(place)
        kept = sorted(place for held in cells.values() for place in sorted(held, key=self._lot)[:per_class])
        return self.only(kept)

    def only(self, places: Iterable[int], left_out: Iterable[str] = ()) -> Examples:
        """The examples at ``places``, and why others are missing."""
        kept = tuple(self.examples[place] for place in places)
        return Examples(self.name, kept, (*left_out, *self.left_out), self.warnings)

    def _lot(self, place: int) -> str:
        return hashlib.sha256(self.examples[place].name.encode()).hexdigest()


def kinds_of(path: Path) -> frozenset[str]:
    """What a file holds, by its name."""
    suffix = path.suffix.lower()
    if suffix in IMAGE:
        return frozenset({"image"})
    if suffix in AUDIO:
        return frozenset({"audio"})
    return frozenset({"video", "image", "audio"}) if suffix in VIDEO else frozenset()


def content_of(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
