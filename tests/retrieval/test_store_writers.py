"""One writer at a time; the others wait or are told."""

import subprocess
import sys
import threading

import pytest
from made_up import rows_of, vectors_of

from retrieval.files import writer_lock
from retrieval.store import Store


def test_second_writer_is_told_who_writes(store):
    code = f"""
import sys
from pathlib import Path
from retrieval.files import writer_lock
with writer_lock(Path({str(store.directory)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"is being written by process {other.pid} on ") as error:
            store.add(vectors_of(1), rows_of(1))
        assert "\n" not in str(error.value)
        reader = Store.open(store.directory)
        assert len(reader) == 0
    finally:
        other.communicate("")
    store.add(vectors_of(1), rows_of(1))
    assert len(store) == 1


def test_a_writer_may_wait(store):
    patient = Store.open(store.directory, wait_seconds=30)
    entered = threading.Event()
    leave = threading.Event()

    def hold():
        with writer_lock(store.directory):
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(30)
    threading.Timer(0.1, leave.set).start()
    patient.add(vectors_of(1), rows_of(1))
    holder.join()
    assert len(patient) == 1


def test_writers_that_take_turns_see_each_other(store):
    other = Store.open(store.directory)
    store.add(vectors_of(2), rows_of(2))
    assert other.add(vectors_of(2), rows_of(2, first=2)).tolist() == [2, 3]
    with pytest.raises(ValueError, match="in the store already, as id 3"):
        store.add(vectors_of(1), rows_of(1, first=3))
    assert len(store) == 4
    store.remove([0])
    assert len(other) == 4
    other.refresh()
    assert other.ids().tolist() == [1, 2, 3]
