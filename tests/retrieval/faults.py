"""How many faults the tests make, and from what seed.

Few and the same ones each time, so that a change is judged by itself; FAULTS=1 (make faults) makes many, others each
time, and SEED repeats those.
"""

import os

import numpy as np

MANY = bool(os.environ.get("FAULTS"))


def trials(few, many):
    """How many to try."""
    return many if MANY else few


def seeded(what):
    """A random generator and its seed, which is printed and so shown when a test fails."""
    drawn = int.from_bytes(os.urandom(4), "big") if MANY else 1
    seed = int(os.environ.get("SEED", "0")) or drawn
    print(f"\n{what}: SEED={seed}")
    return np.random.default_rng(seed), seed
