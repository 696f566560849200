"""Filters in Milvus's words: recording and modality, equal or not, joined by AND.

A recording stands in Milvus by its hash and a modality by its number, so nothing that a user typed becomes part of an
expression.
"""

import hashlib
import re
from collections.abc import Sequence

from retrieval.rows import Parameter

CONDITION = re.compile(r"\s*(recording|modality)\s*(=|<>|!=)\s*(\?|'[^']*')\s*\Z")
AND = re.compile(r"\bAND\b(?=(?:[^']*'[^']*')*[^']*\Z)", re.IGNORECASE)  # outside of quotes


def conditions(
    known: Sequence[str], modality: str | None, where: str | tuple[str, Sequence[Parameter]] | None
) -> list[str]:
    """What must hold, each an expression. known: the space's modalities.

    Raises ValueError for a modality that is not known and for a filter that needs SQL.
    """
    found = []
    if modality is not None:
        if modality not in known:
            raise ValueError(f"modality {modality!r} is not one of the store's: {', '.join(known)}")
        found.append(f"modality == {known.index(modality)}")
    if where is None:
        return found
    text, parameters = (where, []) if isinstance(where, str) else (where[0], list(where[1]))
    for part in AND.split(text):
        match = CONDITION.match(part)
        value = None
        if match:
            value = match[3][1:-1] if match[3] != "?" else parameters.pop(0) if parameters else None
        if not match or not isinstance(value, str):
            raise ValueError(
                f"filter {text!r}: a Milvus takes recording and modality, = or <> a text, joined by AND; "
                "any other filter needs the store in its directory"
            )
        sign = "==" if match[2] == "=" else "!="
        if match[1] == "recording":
            found.append(f'recording {sign} "{hash_of(value)}"')
        else:
            found.append(f"modality {sign} {known.index(value) if value in known else -1}")
    if parameters:
        raise ValueError(f"filter {text!r}: {len(parameters)} parameters have no question mark")
    return found


def other_than(recording: str) -> str:
    """Any recording but this."""
    return f'recording != "{hash_of(recording)}"'


def hash_of(text: str) -> str:
    """How a recording stands in Milvus: SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
