"""Chance as a function of (seed, layer, position).

No generator of ours is drawn from twice by different askers: whoever needs random numbers derives a generator from
the run's seed and the name of what they are for, so no draw depends on what was drawn elsewhere, prefetched or resumed.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np


def derive(seed: int, *keys: str | int) -> int:
    """A 63-bit seed for the thing named by `keys`, unrelated to that of any other keys."""
    text = "\x1f".join([str(seed), *(f"{type(key).__name__}:{key}" for key in keys)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, *keys: str | int) -> np.random.Generator:
    """A NumPy generator for the thing named by `keys`."""
    return np.random.Generator(np.random.Philox(derive(seed, *keys)))


def fresh() -> int:
    """A seed from the operating system, for runs that name none (`random_seed: -1`)."""
    return secrets.randbits(31)
