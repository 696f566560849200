"""What labels told about a run's encoders, on its page."""

from __future__ import annotations

from pathlib import Path

from avssl.probe import kept, told
from avssl.probe.study import Row
from avssl.report.page import Markup, section, table, tag


def on_page(path: Path, digest: str) -> list[Markup]:
    """A table for each label set that ``avssl probe`` asked about these weights, and each encoder.

    Args:
        path: the rows; nothing where there is no such file.
        digest: of the run's weights.

    Raises ValueError for a file of something else.
    """
    asked: dict[str, list[Row]] = {}
    for row in kept.read(path):
        if row.get("digest") == digest:
            title = f"{row['modality']} encoder on {row['data']}, {row['judged']} examples judged"
            asked.setdefault(title, []).append(row)
    parts = [part for title, rows in asked.items() for part in (tag("h3", title), table(*told.table(rows), best=1))]
    return [section("What its encoder knows", tag("p", f"In {told.NOTE}.", klass="soft"), *parts)] if parts else []
