"""Memory for batches, used again as soon as nobody holds what was in it."""

from __future__ import annotations

import weakref
from collections import deque
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 1 << 20
"""Bytes.  Smaller pieces are not worth keeping: the system gives them without clearing pages."""
_KEPT = 8
"""Pieces that wait to be used again; of more, the oldest go back to the system."""


class Room:
    """Arrays whose memory comes back.

    A fresh batch of tens of megabytes costs as much time in cleared pages as in computing.  The array that is given
    out says when it is gone, which is when every tensor and view of it is gone, and its memory is given out again.
    Several threads may ask at once.
    """

    def __init__(self) -> None:
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=_KEPT)

    def array(self, shape: tuple[int, ...], dtype: Any, interleaved: bool = False) -> NDArray[Any]:
        """An array of N×C×H×W with anything in it; `interleaved`: the channels of a pixel lie side by side."""
        kind = np.dtype(dtype)
        memory = self._memory(prod(shape) * kind.itemsize)
        # Of an array over a memoryview, and of nothing behind that, views hold on to.
        owner = np.frombuffer(memory.data, kind)
        if memory.nbytes >= _LEAST:
            weakref.finalize(owner, self._free.append, memory).atexit = False
        if not interleaved:
            return owner.reshape(shape)
        return np.moveaxis(owner.reshape(shape[0], *shape[2:], shape[1]), -1, 1)

    def _memory(self, size: int) -> NDArray[np.uint8]:
        """A piece of this size that nobody holds."""
        for _ in range(len(self._free)):
            try:
                memory = self._free.popleft()
            except IndexError:  # another thread took it
                break
            if memory.nbytes == size:
                return memory
            self._free.append(memory)
        return np.empty(size, np.uint8)
