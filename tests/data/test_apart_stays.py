"""A process that stays for the next task, whatever a task does to it."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import wait

import pytest

from avssl.data.apart import Apart


def act(task):
    if task == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "leave":
        os._exit(3)
    if task == "hang":
        time.sleep(600)
    if task == "refuse":
        raise ValueError("not\nthat")
    if task == "break":
        raise KeyError("a fault")
    return task, os.getpid()


@pytest.fixture(scope="module")
def apart():
    made = Apart(act)
    yield made
    made.close()


def test_one_process_does_one_task_after_another(apart):
    first, second = apart("a", 30), apart("b", 30)
    assert (first[0], second[0]) == ("a", "b")
    assert first[1] == second[1] != os.getpid()


@pytest.mark.parametrize(
    ("task", "told"), [("refuse", "^not that$"), ("break", "KeyError"), ("die", "SIGSEGV"), ("leave", "exit code 3")]
)
def test_what_goes_wrong_is_one_line_and_the_next_task_is_done(apart, task, told):
    with pytest.raises(ValueError, match=told):
        apart(task, 30)
    assert apart("next", 30)[0] == "next"


def test_a_task_without_end_is_ended(apart):
    before = apart("a", 30)[1]
    with pytest.raises(TimeoutError, match=r"longer than 0\.2 s"):
        apart("hang", 0.2)
    after = apart("b", 30)[1]
    assert before != after
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_one_that_was_ended_from_outside_is_begun_anew(apart):
    os.kill(apart("a", 30)[1], signal.SIGKILL)
    assert wait([apart._hand.process.sentinel], 30)
    assert apart("b", 30)[0] == "b"


def test_ctrl_c_is_not_for_a_process_that_is_still_beginning():
    made = Apart(act)
    try:
        begun = made._hand.process.pid
        os.kill(begun, signal.SIGINT)
        assert made("a", 30) == ("a", begun)
    finally:
        made.close()


ALONE = """
import sys
from avssl.data import apart
try:
    print(list(apart.run(len, ["a"] * 40, lambda task: 30, workers=2)))
    print(apart.Apart(len)("a", 30))
except ValueError as error:
    print(error)
    raise SystemExit(5)
"""


@pytest.mark.parametrize("stays", [False, True])
def test_processes_that_cannot_begin_are_no_files_fault(tmp_path, stays):
    """A script without a guard runs anew in each process, which then may not start any."""
    path = tmp_path / "script.py"
    path.write_text("\n".join(line for line in ALONE.splitlines() if not (stays and "apart.run" in line)))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 5
    assert 'end before they begin (exit code 1); in a script of your own, begin below if __name__ == "__main__":' in (
        done.stdout
    )
    assert "crashed" not in done.stdout
