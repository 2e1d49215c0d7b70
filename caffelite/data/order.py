"""Which record stands at a position of an endless stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..runtime import seeds

Rows = NDArray[np.int64]


class Order:
    """Positions of the stream to rows of a list: epoch after epoch as the list stands, or each in an order of its own
    that depends on (seed, layer, epoch) alone."""

    def __init__(self, count: int, shuffled_by: tuple[int, str] | None = None) -> None:
        """`shuffled_by`: the (seed, layer) whose draws order the rows; None: as they stand."""
        self._count = count
        self._shuffled_by = shuffled_by
        self._shuffled: tuple[int, Rows] | None = None

    def rows(self, position: int, count: int) -> Rows:
        """The rows at positions position … position + count − 1."""
        epochs, rows = np.divmod(np.arange(position, position + count), self._count)
        if self._shuffled_by is not None:
            for epoch in np.unique(epochs).tolist():
                here = epochs == epoch
                rows[here] = self._permutation(epoch)[rows[here]]
        return rows

    def _permutation(self, epoch: int) -> Rows:
        shuffled = self._shuffled  # which another thread may put another epoch's in the place of
        if shuffled is None or shuffled[0] != epoch:
            seed, layer = self._shuffled_by or (0, "")
            shuffled = epoch, seeds.generator(seed, layer, "rows", epoch).permutation(self._count)
            self._shuffled = shuffled
        return shuffled[1]
