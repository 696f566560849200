"""A condition that a user may put on rows: SQL, but nothing that could do harm."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from retrieval.rows import COLUMNS, SCHEMA, Parameter

# What a filter may call: nothing that allocates at will, reads files or writes.
JSON_FUNCTIONS = ("->", "->>", "json_array_length", "json_extract", "json_type")
TEXT_FUNCTIONS = ("glob", "instr", "length", "like", "lower", "ltrim", "rtrim", "substr", "substring", "trim", "upper")
PLAIN_FUNCTIONS = ("abs", "coalesce", "ifnull", "max", "min", "nullif", "round", "typeof", "unicode")
FUNCTIONS = frozenset(JSON_FUNCTIONS + TEXT_FUNCTIONS + PLAIN_FUNCTIONS)


def check_where(where: str, parameters: Sequence[Parameter]) -> None:
    """Raise ValueError, one line, unless `where` is a plain condition on the columns of a row.

    It is prepared against an empty table under an authorizer that allows reading `rows` and a list of functions, and
    neither a second SELECT nor anything else.
    """
    selects = 0

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        nonlocal selects
        if action == sqlite3.SQLITE_SELECT:
            selects += 1
            return sqlite3.SQLITE_OK if selects == 1 else sqlite3.SQLITE_DENY
        allowed = (action == sqlite3.SQLITE_READ and first == "rows") or (
            action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(SCHEMA)
        connection.set_authorizer(authorize)
        try:
            connection.execute(select(where), tuple(parameters)).fetchall()
            # What closes our bracket and hides the rest in a comment fails once there is a bracket more.
            selects = 0
            connection.execute(select(f"(\n{where}\n)"), tuple(parameters)).fetchall()
        except (sqlite3.Error, sqlite3.Warning, ValueError, TypeError, OverflowError) as error:
            raise wrong_filter(where, error) from None


def select(where: str) -> str:
    """The query for the ids that meet a condition."""
    # The line break keeps a comment in the condition from swallowing the bracket that ends it.
    return f"SELECT id FROM rows WHERE (\n{where}\n)"


def wrong_filter(where: str, error: Exception) -> ValueError:
    """What SQLite said against a condition, as one line."""
    told = " ".join(str(error).split())
    return ValueError(f"filter {where[:200]!r}: {told[:200]}; it must be an SQL condition on {', '.join(COLUMNS)}")
