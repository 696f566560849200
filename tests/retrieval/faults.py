"""How many faults the tests make, and from what seed: FAULTS=1 (make faults) makes many, SEED repeats a run."""

import os

import numpy as np

MANY = bool(os.environ.get("FAULTS"))


def trials(few, many):
    """How many to try."""
    return many if MANY else few


def seeded(what):
    """A random generator and its seed, which is printed and so shown when a test fails."""
    seed = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    print(f"\n{what}: SEED={seed}")
    return np.random.default_rng(seed), seed
