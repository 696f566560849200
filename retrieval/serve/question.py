"""What is asked over HTTP, checked: nothing of a request reaches SQL, a path or the network unchecked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retrieval.own_columns import path_of
from retrieval.rows import Parameter, as_number
from retrieval.serve.settings import Limits

LOOKED_FOR = ("video", "image", "audio", "text")
"""what is found when a question does not say: the first of these that the store holds"""
ANY = "any"
MOST_TERMS = 8
MOST_WEIGHT = 100.0
MOST_COLUMNS = 16


@dataclass(frozen=True)
class Unwanted:
    """What to keep away from: words, or a row by its id. weight: how much, where what is wanted has 1."""

    text: str = ""
    item: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Question:
    """Which moments are wanted.

    text: words to search with. item: id of a row to find more like. minus: what to keep away from. among: modality to
    be found, "any", or "" for the usual one. top: how many moments. windows: do not join windows that touch. own: with
    an item, also find its own recording. centered: without what all that the store holds of its kind has in common.
    filters: what the rows must hold.
    """

    text: str = ""
    item: int | None = None
    minus: tuple[Unwanted, ...] = ()
    among: str = ""
    top: int = 20
    windows: bool = False
    own: bool = False
    centered: bool = False
    filters: "Filters" = field(default_factory=lambda: Filters())


@dataclass(frozen=True)
class Filters:
    """Conditions that all must hold; "" and None ask nothing. since, until: seconds within the recording."""

    recording: str = ""
    said: str = ""
    since: float | None = None
    until: float | None = None
    columns: tuple[tuple[str, str | float], ...] = ()

    def where(self) -> tuple[str, list[Parameter]] | None:
        """As an SQL condition on the rows with its parameters; what was asked is in the parameters alone."""
        conditions: list[str] = []
        parameters: list[Parameter] = []

        def ask(condition: str, *values: Parameter) -> None:
            conditions.append(condition)
            parameters.extend(values)

        if self.recording:
            ask("recording = ?", self.recording)
        if self.said:
            ask("instr(lower(narration), lower(?)) > 0", self.said)
        if self.since is not None:
            ask("end >= ?", self.since)
        if self.until is not None:
            ask("start <= ?", self.until)
        for name, value in self.columns:
            ask("json_extract(extra, ?) = ?", path_of(name), value)
        return (" AND ".join(conditions), parameters) if conditions else None


def parse(asked: Any, modalities: tuple[str, ...], limits: Limits) -> Question:
    """A question from JSON. Raises ValueError, one line, for what is unknown, of the wrong type or too much."""
    if not isinstance(asked, Mapping):
        raise ValueError("a question must be a JSON object")
    fields = Question.__dataclass_fields__
    for name in asked:
        if name not in fields:
            raise ValueError(f"unknown key {str(name)[:60]!r}; known are {', '.join(fields)}")
    among = _text(asked, "among", 100)
    if among and among != ANY and among not in modalities:
        raise ValueError(f"among {among!r}: the store has {', '.join(modalities)}, or {ANY}")
    minus = asked.get("minus", [])
    if not isinstance(minus, list) or len(minus) > MOST_TERMS:
        raise ValueError(f"minus must be a list of at most {MOST_TERMS} things to keep away from")
    top = asked.get("top", Question.top)
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= limits.most_hits:
        raise ValueError(f"top must be a whole number from 1 to {limits.most_hits}")
    return Question(
        text=_text(asked, "text", limits.text_characters).strip(),
        item=_item(asked),
        minus=tuple(_unwanted(told, limits) for told in minus),
        among=among,
        top=top,
        windows=_flag(asked, "windows"),
        own=_flag(asked, "own"),
        centered=_flag(asked, "centered"),
        filters=parse_filters(asked.get("filters", {}), limits),
    )


def parse_filters(asked: Any, limits: Limits) -> Filters:
    """Filters from JSON: recording, said, since, until, and columns of the user's own. Raises ValueError."""
    if not isinstance(asked, Mapping):
        raise ValueError("filters must be a JSON object")
    fields = Filters.__dataclass_fields__
    for name in asked:
        if name not in fields:
            raise ValueError(f"unknown filter {str(name)[:60]!r}; known are {', '.join(fields)}")
    columns = asked.get("columns", {})
    if not isinstance(columns, Mapping) or len(columns) > MOST_COLUMNS:
        raise ValueError(f"columns must be an object of at most {MOST_COLUMNS} values")
    kept: list[tuple[str, str | float]] = []
    for name, value in columns.items():
        if not isinstance(value, str | int | float) or len(str(value)) > limits.text_characters or len(name) > 200:
            raise ValueError(f"column {name[:60]!r} must be compared with a short text or a number")
        _encodes(f"column {name[:60]!r}", name + str(value))
        path_of(name)
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError(f"column {name[:60]!r} cannot be compared with a whole number of more than 64 bits")
        kept.append((name, value))
    return Filters(
        recording=_text(asked, "recording", limits.text_characters),
        said=_text(asked, "said", limits.text_characters).strip(),
        since=_seconds(asked, "since"),
        until=_seconds(asked, "until"),
        columns=tuple(kept),
    )


def _unwanted(asked: Any, limits: Limits) -> Unwanted:
    if not isinstance(asked, Mapping) or not {"text", "item"} & set(asked) or set(asked) - {"text", "item", "weight"}:
        raise ValueError("each minus is an object with text or item, and maybe weight")
    text, item, weight = _text(asked, "text", limits.text_characters).strip(), _item(asked), asked.get("weight", 1.0)
    if bool(text) == (item is not None):
        raise ValueError("each minus is either text or an item")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= MOST_WEIGHT:
        raise ValueError(f"weight must be a number above 0 and at most {MOST_WEIGHT:g}")
    return Unwanted(text, item, float(weight))


def _item(asked: Mapping[str, Any]) -> int | None:
    item = asked.get("item")
    if item is not None and (isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < 2**63 - 1):
        raise ValueError("item must be the id of a row")
    return item


def _text(asked: Mapping[str, Any], name: str, most: int) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"{name} must be text of at most {most} characters")
    _encodes(name, value)
    return value


def _encodes(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half a character, which no row can") from None


def _flag(asked: Mapping[str, Any], name: str) -> bool:
    value = asked.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")
    return value


def _seconds(asked: Mapping[str, Any], name: str) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    seconds = as_number(value)
    if seconds is None:
        raise ValueError(f"{name} must be a number of seconds")
    return seconds
