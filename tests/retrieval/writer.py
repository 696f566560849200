"""A process whose children change a store until they are killed, and the model that tells what it must then hold.

`Children` starts it. For each line on stdin it forks a child, which loaded everything already, so a trial is quick.
"""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

import numpy as np
from collection import embedder, random_changes
from made_up import cells_of_row, rows_of, vectors_of

from retrieval import index
from retrieval.regions import Regions, add_regions
from retrieval.store import Store
from retrieval.sync import sync

GOALS = 400


def planned(seed, number, present):
    """The change number `number`: its name and, for add, how many rows, for remove, which ids."""
    random = np.random.default_rng([seed, number])
    name = str(random.choice(["add", "add", "add", "remove", "compact", "build", "extend", "regions"]))
    if name == "add":
        return name, int(random.integers(1, 12))
    if name == "remove" and present:
        return name, sorted(
            random.choice(sorted(present), int(random.integers(1, len(present) + 1)) // 2, False).tolist()
        )
    return ("compact" if name == "remove" else name), None


def after(seed, number, present, next_id):
    """Ids that exist after that change, each with the change that added it, and the id that comes next."""
    name, how = planned(seed, number, present)
    if name == "add":
        return present | {next_id + i: (number, i) for i in range(how)}, next_id + how
    if name == "remove":
        return {identity: origin for identity, origin in present.items() if identity not in how}, next_id
    return present, next_id


def batch(number, count):
    """What change `number` adds."""
    return vectors_of(count, seed=number), rows_of(count, first=100 * number)


def change(store, seed, number):
    """Do it."""
    name, how = planned(seed, number, store.ids().tolist())
    if name == "add":
        store.add(*batch(number, how))
    elif name == "remove":
        store.remove(how)
    elif name == "compact":
        store.compact()
    elif name == "regions":
        lacking = sorted(set(store.ids().tolist()) - Regions(store).ids())
        if lacking:
            add_regions(store, [(lacking, np.stack([cells_of_row(i) for i in lacking]))], components=5)
        else:
            with store.locked():  # nothing to do but to sweep: a killed writer had done it, and died before it swept
                pass
    elif name == "extend" and store.manifest["indexes"]:
        index.extend(store)
    else:
        index.build(store)


def follow(store, seed, number):
    """Sync with the wanted recordings number `number`, a few recordings to each change."""
    sync(store, random_changes(seed, GOALS)[number], embedder([]), commit_vectors=4, allow_empty=True)


def die_before_call(number):
    """Replace the functions that make a change visible or durable by ones that count, and die."""
    left = number

    def counted(function):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
    pathlib.Path.unlink = counted(pathlib.Path.unlink)
    shutil.rmtree = counted(shutil.rmtree)


def work(directory, what, seed, number, calls, limit):
    """Changes from `number` on: for ever, dying before that call (0: whenever killed); or a few, with files limited."""
    last = number + 8 if limit >= 0 else sys.maxsize
    tempfile.tempdir = str(pathlib.Path(directory).parent)  # what a killed child leaves there goes with the test
    if limit >= 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    if calls:
        die_before_call(calls)
    with Store.open(directory) as store:
        while number < last:
            try:
                {"change": change, "follow": follow}[what](store, seed, number)
            except OSError as error:
                print("full", " ".join(str(error).split()), flush=True)
                return
            print("done", number, flush=True)
            number += 1


class Children:
    """The process that forks: each trial is one child of it."""

    def __enter__(self):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        words = [sys.executable, __file__]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(words, env=environment, **pipes)
        return self

    def __exit__(self, *_):
        self.process.communicate("")

    def start(self, directory, what, seed, number, calls=0, limit=-1):
        """Begin a trial; the child's process id once it works."""
        print(directory, what, seed, number, calls, limit, sep="\t", file=self.process.stdin, flush=True)
        ready, pid = self.process.stdout.readline().split()
        assert ready == "ready"
        return int(pid)

    def end(self):
        """What the child told, and how it ended (-9: killed)."""
        told = []
        while not (line := self.process.stdout.readline()).startswith("ended"):
            assert line, "the process that forks is gone"
            told.append(line.strip())
        return told, int(line.split()[1])


def main():
    index.import_faiss()
    for line in sys.stdin:
        directory, what, *numbers = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            code = 1
            try:
                print("ready", os.getpid(), flush=True)
                work(directory, what, *map(int, numbers))
                code = 0
            except BaseException:
                traceback.print_exc()  # nobody else tells
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
