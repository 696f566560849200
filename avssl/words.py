"""Numbers and errors in sentences."""


def counted(count: int, noun: str) -> str:
    """A number of things: 1 row, 2 rows."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def one_line(error: BaseException) -> str:
    """A library's error, which may be a page, as one line of 200 letters at most."""
    return " ".join(str(error).split())[:200]
