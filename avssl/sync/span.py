"""From when to when a recording has both picture and sound that can be decoded, whatever its header claims."""

from __future__ import annotations

from pathlib import Path

from avssl.data.media import Header, Unreadable, decode, scan

EDGE_SECONDS = 0.25
"""of a stream may be missing at either end: codecs round lengths, and a shorter piece is worth no second look"""
HZ = 8000


def both_there(path: Path, header: Header) -> tuple[float, float]:
    """(start, end) in seconds; the start is not before the end where the two never meet.

    A header that proves right at both ends is believed; else everything is decoded. Raises Unreadable.
    """
    claimed = header.duration or 0.0
    if claimed > 2 * EDGE_SECONDS and all(_there(path, at) for at in (0.0, claimed - 2 * EDGE_SECONDS)):
        return 0.0, claimed
    found = scan(path)
    start = max(found.video_start, found.audio_start)
    return start, min(found.video_start + found.video_seconds, found.audio_start + found.audio_seconds)


def _there(path: Path, at: float) -> bool:
    """Whether something is heard in the quarter of a second from ``at`` on, and a picture shown at its end."""
    try:
        got = decode(path, times=[at + EDGE_SECONDS], size=(8, 8), audio=(at, EDGE_SECONDS), hz=HZ)
    except Unreadable:
        return False
    shown = got.video_times[0] <= at + EDGE_SECONDS and not got.truncated
    return bool(shown and not got.errors and got.audio.any())
