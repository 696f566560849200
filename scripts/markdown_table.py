"""A table as RESULTS.md has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def lines_of(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Titles, rule and lines of a table in Markdown."""
    yield from ("| " + " | ".join(columns) + " |", "|" + "---|" * len(columns))
    yield from ("| " + " | ".join(line) + " |" for line in lines)
