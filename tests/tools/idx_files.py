"""Small IDX files, made for a test."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def packed(array: np.ndarray) -> bytes:
    """An IDX file's content."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_small_mnist(folder: Path, train: int = 25, test: int = 7) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """MNIST's four files with random digits, the training part gzipped; returns what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    made = {}
    for part, count in (("train", train), ("t10k", test)):
        images = chance.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = chance.integers(0, 10, count, dtype=np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            if part == "train":
                (folder / f"{name}.gz").write_bytes(gzip.compress(packed(array)))
            else:
                (folder / name).write_bytes(packed(array))
        made[part] = (images, labels)
    return made
