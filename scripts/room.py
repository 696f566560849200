"""Ends with a line when the disk has no room for the environment: ``python scripts/room.py VENV [GIGABYTES]``.

``make`` asks before it installs, for pip would tell the same in a hundred lines after minutes. Standard library alone.
"""

import shutil
import sys
from pathlib import Path

NEEDED_GB = 8.0  # 7.4 at most while pip unpacks torch and the libraries of CUDA that come with it, 6.1 at the end


def refusal(venv: Path, needed_gb: float) -> str | None:
    """Why nothing can be installed into the folder ``venv``, or None. One that holds torch has had its room."""
    if any(venv.glob("lib/*/site-packages/torch/__init__.py")):
        return None
    there = next(folder for folder in (venv.absolute(), *venv.absolute().parents) if folder.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    if free_gb >= needed_gb:
        return None
    return (
        f"{there}: {free_gb:.1f} GB are free, installing torch and the rest needs {needed_gb:g}; "
        "make room, or choose another disk: make VENV=FOLDER ..."
    )


if __name__ == "__main__":
    why = refusal(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else NEEDED_GB)
    if why:
        print(why, file=sys.stderr)
        sys.exit(2)
