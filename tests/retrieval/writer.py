"""A process that changes a store until it is killed, and the model that tells what the store must then hold.

Run as: writer.py DIRECTORY SEED FIRST_CHANGE CALLS. With CALLS above 0 it kills itself before that call of the
functions that make a change visible or durable; with 0 it waits for its parent to do it.
"""

import os
import pathlib
import signal
import sys

import numpy as np
from made_up import rows_of, vectors_of

from retrieval import index
from retrieval.store import Store


def planned(seed, number, present):
    """The change number `number`: its name and, for add, how many rows, for remove, which ids."""
    random = np.random.default_rng([seed, number])
    name = str(random.choice(["add", "add", "add", "remove", "compact", "build"]))
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
    else:
        index.build(store)


def die_before_call(number):
    """Replace the functions that count by ones that do."""
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


if __name__ == "__main__":
    directory, seed, number, calls = sys.argv[1], *map(int, sys.argv[2:])
    index.import_faiss()
    if calls:
        die_before_call(calls)
    print("ready", flush=True)
    with Store.open(directory) as store:
        while True:
            change(store, seed, number)
            print(number, flush=True)
            number += 1
