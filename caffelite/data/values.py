"""The values of several records, one behind the other in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Values:
    """Values as one piece of memory: value i is data[ends[i − 1] : ends[i]]."""

    data: bytes
    ends: Sequence[int]

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Values:
        """These values."""
        return cls(b"".join(values), list(accumulate(map(len, values))))

    def __len__(self) -> int:
        return len(self.ends)

    def _bounds(self) -> Iterator[tuple[int, int]]:
        return pairwise([0, *self.ends])

    def __iter__(self) -> Iterator[bytes]:
        return (self.data[start:end] for start, end in self._bounds())

    def lengths(self) -> NDArray[np.int64]:
        """How many bytes each has."""
        ends = np.array([0, *self.ends], np.int64)
        return ends[1:] - ends[:-1]

    def rows(self, chosen: Sequence[int], length: int) -> NDArray[np.uint8]:
        """The chosen values, all of which have `length` bytes, a row each; a view where all of them are chosen."""
        if len(chosen) == len(self):
            return np.frombuffer(self.data, np.uint8).reshape(len(self), length)
        result = np.empty((len(chosen), length), np.uint8)
        for row, index in zip(result, chosen, strict=True):
            row[:] = np.frombuffer(self.data, np.uint8, length, self.ends[index] - length)
        return result
