"""Odd and broken files from many test suites: each is read, or refused with a reason; none ends the process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CHUNKS = 4
READ = """
import json, sys
import numpy as np
from avssl.data.media import Unreadable, decode, probe, scan
for line in sys.stdin:
    path = line.rstrip("\\n")
    result = {"path": path}
    try:
        header = probe(path)
        found = scan(path, max_seconds=5)
        times = [0.0, 0.4, 0.7] if header.pictures else ()
        got = decode(path, times=times, size=(32, 32), audio=(0.3, 0.5) if header.sounds else None)
        assert got.video.shape == (len(times), 3, 32, 32), got.video.shape
        assert got.audio.shape == (8000 if header.sounds else 0,), got.audio.shape
        assert np.isfinite(got.audio).all()
        result |= {"seconds": found.duration, "claimed": header.duration, "errors": found.errors}
    except Unreadable as error:
        result["unreadable"] = str(error)
    print(json.dumps(result), flush=True)
"""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_file_is_read_or_refused(recordings, chunk):
    folder = recordings / "edge-media"
    if not folder.is_dir():
        pytest.skip("no edge-media among the recordings")
    paths = [str(p) for p in sorted(folder.rglob("*")) if p.is_file()][chunk::CHUNKS]
    done = subprocess.run(
        [sys.executable, "-c", READ], input="\n".join(paths), capture_output=True, text=True, timeout=120, check=False
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended at {paths[len(results)]}: {done.stderr[-2000:]}"
    assert [r["path"] for r in results] == paths
    for result in results:
        if "unreadable" in result:
            assert result["unreadable"].startswith(result["path"])
            assert "\n" not in result["unreadable"]
    assert sum("seconds" in r for r in results) > len(results) // 2
