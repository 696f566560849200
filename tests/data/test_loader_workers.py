"""Worker processes of the loader: killed, hanging or interrupted, they are replaced, and none outlives its parent."""

import logging
import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from toy_loader import loader, same
from toy_source import Toy, slow

from avssl.data.workers import _Worker


def test_a_killed_worker_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    source = Toy(24)
    expected = list(loader(source, slow).batches(0, 12))
    with loader(source, slow, workers=2) as it:
        stream = it.batches(0, 12)
        got = [next(stream)]
        assert it._pool is not None
        victim = it._pool._workers[0].process
        os.kill(victim.pid, signal.SIGKILL)
        with caplog.at_level(logging.WARNING):
            got += list(stream)
        assert it.replaced == 1
    assert same(got, expected)
    assert f"data worker 0 (pid {victim.pid})" in caplog.text
    assert "(signal 9); it is replaced" in caplog.text


def test_an_item_that_kills_twice_is_bad() -> None:
    with loader(Toy(24, deadly=(5,)), workers=1) as it:
        got = list(it.batches(0, 3))
        assert it.replaced == 2
        assert list(it.bad) == ["r2"]
        assert "crashed" in it.bad["r2"]
    assert same(got, list(loader(Toy(24, bad=(5,))).batches(0, 3)))


def test_an_item_that_kills_once_is_good(tmp_path: Path) -> None:
    with loader(Toy(24, deadly=(5,), once=tmp_path / "struck"), workers=1) as it:
        got = list(it.batches(0, 3))
        assert it.replaced == 1
        assert it.bad == {}
    assert same(got, list(loader(Toy(24)).batches(0, 3)))


def test_a_hanging_worker_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with loader(Toy(24, hanging=(5,)), workers=2, timeout_seconds=1.0) as it:
        got = list(it.batches(0, 3))
        assert it.replaced == 2
        assert it.bad == {"r2": "took longer than 1 s"}
        assert it.wait_seconds > 1.0
    assert same(got, list(loader(Toy(24, bad=(5,))).batches(0, 3)))
    assert "at r2 (1.0 to 2.0 s): took longer than 1 s; it is replaced" in caplog.text


def test_signals_to_all_processes_are_not_for_workers_that_still_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    class Struck(_Worker):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            for pid in (self.process.pid, forkserver._forkserver._forkserver_pid):
                os.kill(pid, signal.SIGINT)
                os.kill(pid, signal.SIGTERM)

    monkeypatch.setattr("avssl.data.workers._Worker", Struck)
    with loader(Toy(24), workers=2) as it:
        got = list(it.batches(0, 3))
        assert it.replaced == 0
    assert same(got, list(loader(Toy(24)).batches(0, 3)))


def test_a_slow_consumer_is_no_hang() -> None:
    with loader(Toy(24), slow, workers=1, timeout_seconds=0.5) as it:
        for _ in it.batches(0, 2):
            time.sleep(1.0)
        assert it.replaced == 0


SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests themselves run in the background
from toy_source import Toy, slow
from avssl.data.loader import Loader
from avssl.data.maker import mix
if __name__ == "__main__":
    it = Loader(Toy(64), slow, batch=8, seed=0, workers=2, length=64)
    try:
        for step, batch in enumerate(it.batches(0, 100000)):
            if step == 1:
                print(*(w.process.pid for w in it._pool._workers), flush=True)
                if "leave" in sys.argv:
                    break
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, None])
def test_no_worker_outlives_its_parent(tmp_path: Path, how: signal.Signals | None) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(
        [sys.executable, str(script), "go on" if how else "leave"], env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: everyone gets it
    elif how == signal.SIGKILL:
        process.kill()
    out, errors = process.communicate(timeout=120)
    if how != signal.SIGKILL:
        assert out == ("interrupted\n" if how else "")
        assert errors == ""
    deadline = time.monotonic() + 60
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"
