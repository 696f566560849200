"""The columns of a user's own: which there are is known from the rows alone."""

import re
from collections.abc import Iterable

import numpy as np

from retrieval.segment import Ids
from retrieval.store import Store

SAMPLE = 5000
"""rows that are looked at to say which columns there are"""
MOST_TOLD = 20
_NAMED = re.compile(r"""\bextra\s*->>?\s*'([^'"\\]+)'""")


def spread(ids: Ids, count: int) -> list[int]:
    """At most `count` of the ids, evenly over all of them."""
    if len(ids) <= count:
        return [int(identity) for identity in ids]
    return [int(identity) for identity in ids[np.linspace(0, len(ids) - 1, count).astype(np.int64)]]


def path_of(name: str) -> str:
    """Where a column is in the JSON of a row; quoted, so that no name is taken for a path of its own.

    Raises ValueError for a name that cannot be quoted.
    """
    if '"' in name or "\\" in name:
        raise ValueError(f"column {name[:60]!r} cannot be filtered: its name holds a quote or a backslash")
    return f'$."{name}"'


def named_in(where: str) -> list[str]:
    """The columns that an SQL condition looks at as extra ->> 'name'."""
    return [name for name in _NAMED.findall(where) if not name.startswith("$")]


def lacking(store: Store, names: Iterable[str]) -> str:
    """In one line, the first of these columns that no row has, and which there are; "" where all are there."""
    ids = store.ids()
    for name in names if len(ids) else ():
        if len(store.ids("json_type(extra, ?) IS NOT NULL", [path_of(name)])):
            continue
        held = sorted({column for row in store.rows(spread(ids, SAMPLE)) for column in row.extra})
        told = ", ".join(held[:MOST_TOLD]) + (", ..." if len(held) > MOST_TOLD else "")
        return f"no row has a column {name[:60]!r}; there " + (f"are {told}" if held else "is none")
    return ""
