"""Transfer: linear and fine-tuned accuracy on several label sets, beside labels and beside random initialization.

The table of Ting Chen, Simon Kornblith, Mohammad Norouzi, Geoffrey Hinton: A Simple Framework for Contrastive Learning
of Visual Representations, ICML 2020, arXiv:2002.05709: for each protocol a line for the self-supervised network, for
the supervised one, and for the same architecture from random initialization; a column for each label set.
"""

from __future__ import annotations

from collections.abc import Iterable

from avssl.probe.study import Row

PROTOCOLS = ("linear", "finetune")
SUPERVISED = "supervised"
"""the method whose runs are the ceiling"""


def wanted(row: Row) -> bool:
    """Whether a row belongs into the table: all labels, clean examples, the encoder's own vectors, nothing frozen, all
    of it what was learnt."""
    whole = not row.get("freeze") and row.get("rest", "kept") == "kept" and row.get("pooled", "mean") == "mean"
    return row["probe"] in PROTOCOLS and row["fraction"] == 1 and whole and not row.get("under")


def table(rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
    """(titles, lines) in percent: protocol, network, and an accuracy for each label set."""
    held = [row for row in rows if wanted(row)]
    columns = list(dict.fromkeys(row["data"] for row in held))
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for protocol in PROTOCOLS:
        of = [row for row in held if row["probe"] == protocol]
        for row in sorted(
            of, key=lambda row: row["method"] == SUPERVISED
        ):  # the ceiling below what is compared with it
            cells.setdefault((protocol, row["run"]), {})[row["data"]] = row["accuracy"]
            untrained = (protocol, f"random ({row['run']})")
            cells.setdefault(untrained, {})[row["data"]] = row["beside"]["untrained"]["accuracy"]
    lines = [
        [protocol, who, *(f"{100 * found[name]:.1f}" if name in found else "" for name in columns)]
        for (protocol, who), found in cells.items()
    ]
    return ["protocol", "network", *columns], lines


def summary(rows: Iterable[Row]) -> list[str]:
    """For each protocol and run that is not supervised: on how many label sets it is ahead of labels, and of random."""
    held, told = [row for row in rows if wanted(row)], []
    for protocol in PROTOCOLS:
        of = [row for row in held if row["probe"] == protocol]
        ceiling = {row["data"]: row["accuracy"] for row in of if row["method"] == SUPERVISED}
        for run in dict.fromkeys(row["run"] for row in of if row["method"] != SUPERVISED):
            own = [row for row in of if row["run"] == run]
            sure = sum(row["gain"][1] > 0 for row in own)
            most = max(row["gain"][0] for row in own)
            line = f"{protocol}, {run}: surely ahead of random on {sure} of {len(own)}, by {100 * most:+.1f} at most"
            compared = [row for row in own if row["data"] in ceiling]
            if compared:
                ahead = sum(row["accuracy"] > ceiling[row["data"]] for row in compared)
                line += f"; ahead of labels on {ahead} of {len(compared)}"
            told.append(line)
    return told
