"""Decoded images kept in memory, where the whole data set fits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .image import Picture, pixels_of
from .lazily import Lazily
from .order import Rows

Array = NDArray[Any]
Images = Array | Sequence[Array | Picture]
"""N×C×H×W as one array, or C×H×W each."""

MOST_BYTES = 512 << 20
"""No data set above this is kept decoded."""


def free_bytes() -> int:
    """Memory that can be had without swapping, as far as the system tells; MOST_BYTES where it does not."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return MOST_BYTES
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else MOST_BYTES


class Cache:
    """Room for the images of a whole data set, filled as they are read.  Several threads may use it at once.

    Only sets whose images have one shape and type are kept; the first that differs ends it.
    """

    def __init__(self, count: int, first: Array | Picture, budget: int | None = None) -> None:
        """`first` is like all of the `count` images; `budget` the most bytes to keep (None: what there is room for)."""
        budget = min(MOST_BYTES, free_bytes() // 4) if budget is None else budget
        self._lock = threading.Lock()
        self._images: Array | None = None
        self._missing = count
        if count * prod(first.shape) * first.dtype.itemsize <= budget:
            self._images = np.empty((count, *first.shape), first.dtype)
            self._there = np.zeros(count, bool)

    @property
    def open(self) -> bool:
        """Whether there is room for images that are not here yet."""
        return self._images is not None and self._missing > 0

    def get(self, rows: Rows) -> Array | None:
        """The images of these numbers, if all of them are here.  Not to be written to."""
        with self._lock:
            if self._images is None or (self._missing and not self._there[rows].all()):
                return None
            return self._images[as_slice(rows)]

    def keep(self, rows: Rows, images: Images) -> Images:
        """Keep these images, which have these numbers; the images, in the form that costs least from here on."""
        if self._images is None or not self._missing:
            return together(images)
        images = together(arrays(images))
        with self._lock:
            kept: Array | None = self._images
            if kept is None:  # another thread met an image of another shape meanwhile
                return images
            if not isinstance(images, np.ndarray) or images.shape[1:] != kept.shape[1:] or images.dtype != kept.dtype:
                self._images = None
                return images
            where = as_slice(rows)
            kept[where] = images
            self._there[where] = True
            self._missing = len(self._there) - int(np.count_nonzero(self._there))
            return images


def arrays(images: Images) -> Sequence[Array]:
    """The images, C×H×W each, as arrays."""
    return images if isinstance(images, np.ndarray) else [pixels_of(image) for image in images]  # type: ignore[return-value]


def together(images: Images) -> Images:
    """One array of the images, if they are arrays of one shape; else, or where none is decoded yet, as they are."""
    if isinstance(images, np.ndarray | Lazily):
        return images
    first = images[0]
    if all(isinstance(image, np.ndarray) and image.shape == first.shape for image in images):
        return np.stack(images)  # type: ignore[arg-type]
    return images


def as_slice(rows: Rows) -> Rows | slice:
    """Consecutive numbers as a slice, which selects without a copy; others as they are."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and (rows[1:] > rows[:-1]).all():
        return slice(first, last + 1)
    return rows
