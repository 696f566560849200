"""What labels told about a run's encoders, on its page."""

from __future__ import annotations

from pathlib import Path

from avssl.probe import kept, told
from avssl.report.page import Markup, section, table, tag


def on_page(path: Path, digest: str) -> list[Markup]:
    """A table for each label set in a file of ``avssl probe``'s rows that is about these weights, and each encoder.

    Args:
        path: the rows; nothing where there is no such file.
        digest: of the run's weights.

    Raises ValueError for a file of something else.
    """
    rows = [row for row in kept.read(path) if row["digest"] == digest]
    parts: list[Markup] = []
    for data, modality in dict.fromkeys((row["data"], row["modality"]) for row in rows):
        own = [row for row in rows if (row["data"], row["modality"]) == (data, modality)]
        judged = f"{modality} encoder on {data}, {own[0]['judged']} examples judged"
        parts += [tag("h3", judged), table(*told.table(own), best=1)]
    return [section("What its encoder knows", tag("p", f"In {told.NOTE}.", klass="soft"), *parts)] if parts else []
