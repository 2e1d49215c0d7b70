"""Memory for batches, used again as soon as nobody holds what was in it."""

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 1 << 20
"""Bytes.  Smaller pieces are not worth keeping: the system gives them without clearing pages."""


class Room:
    """Arrays whose memory comes back.

    A fresh batch of tens of megabytes costs as much time in cleared pages as in computing.  The array that is given
    out says when it is gone, which is when every tensor and view of it is gone, and its memory is given out again.
    Several threads may ask at once.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = defaultdict(list)

    def array(self, shape: tuple[int, ...], dtype: Any, interleaved: bool = False) -> NDArray[Any]:
        """An array of N×C×H×W with anything in it; `interleaved`: the channels of a pixel lie side by side."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        free = self._free[size]
        try:
            memory = free.pop()
        except IndexError:
            memory = np.empty(size, np.uint8)
        lies = (shape[0], *shape[2:], shape[1]) if interleaved else shape
        values = memory.view(kind).reshape(lies)
        values = np.moveaxis(values, -1, 1) if interleaved else values.view()
        if size >= _LEAST:
            weakref.finalize(values, free.append, memory).atexit = False
        return values
