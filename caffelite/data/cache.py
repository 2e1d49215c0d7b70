"""Decoded records kept in memory, where the whole data set fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .datum import Array, Records

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
    """Room for all records of a data set, filled as they are read.

    Only sets whose images have one shape and type are kept; the first that differs ends it.
    """

    def __init__(self, count: int, first: Array, budget: int | None = None) -> None:
        budget = min(MOST_BYTES, free_bytes() // 4) if budget is None else budget
        self._images: Array | None = None
        self._missing = count
        if count * first.nbytes <= budget:
            self._images = np.empty((count, *first.shape), first.dtype)
            self._labels = np.empty(count, np.float32)
            self._there = np.zeros(count, bool)

    def get(self, start: int, count: int) -> Records | None:
        """Records start … start + count − 1, if all of them are here.  Views: not to be written to."""
        if self._images is None or (self._missing and not self._there[start : start + count].all()):
            return None
        return Records(self._images[start : start + count], self._labels[start : start + count])

    def put(self, start: int, records: Records) -> None:
        """Keep these records, the first of which is record `start`."""
        if self._images is None or not self._missing:
            return
        images = records.images
        if isinstance(images, list) or images.shape[1:] != self._images.shape[1:] or images.dtype != self._images.dtype:
            self._images = None
            return
        here = slice(start, start + len(images))
        self._images[here], self._labels[here] = images, records.labels
        self._missing -= len(images) - int(self._there[here].sum())
        self._there[here] = True
