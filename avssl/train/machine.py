"""The machine a run is on: its allocator, and the versions that a checkpoint records."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from pathlib import Path

import torch

from avssl import __version__

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""glibc's mallopt parameters (malloc.h)"""


def keep_memory() -> bool:
    """Make glibc keep large blocks for the next step instead of handing them back; whether there is a glibc to ask.

    Otherwise every step returns its activations to the system and pays for them again in page faults: a third of a
    small step on a CPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    largest = 2**31 - 1
    # some versions refuse thresholds above 32 MB: then no block at all is mapped on its own
    mapped = mallopt(M_MMAP_THRESHOLD, largest) or mallopt(M_MMAP_MAX, 0)
    return bool(mapped and mallopt(M_TRIM_THRESHOLD, largest))


def versions() -> dict[str, str]:
    """Of what shapes the numbers of a run; ``git`` only where the package lies in a checkout."""
    found = {
        "avssl": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu": platform.machine(),
    }
    try:
        told = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
        found["git"] = told.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return found
