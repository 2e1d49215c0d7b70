"""The decoded records of a database by number."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from .cache import Array, Images
from .database_table import DatabaseTable
from .order import Rows

_BLOCK_BYTES = 1 << 20
"""Small raw records are read and decoded so many at once, which costs little more than a few."""


class RecordTable(DatabaseTable):
    """Records of plain Datum."""

    _block = 1
    """Records read at once."""

    @property
    def met_raw(self) -> bool:
        """Whether a record was not an encoded image."""
        return self._decoder.met_raw

    def _read(self, rows: Rows) -> Images:
        with self._lock:
            values = self._reader.take(rows.tolist())
        records = self._decoder(values, lambda index: self._key(int(rows[index])))
        self.labels[rows] = records.labels
        if self._cache is None:
            self._block = max(1, _BLOCK_BYTES // max(1, values.ends[0]))
        return records.images

    def _kept(self, rows: Rows) -> Array | None:
        """Also what can be brought into memory as raw images, a block at a time."""
        images = super()._kept(rows)
        if images is not None or self._cache is None or not (self._cache.open and self._decoder.raw):
            return images
        if len(rows) < self._block:
            block = self._block
            try:
                for number in np.unique(rows // block).tolist():
                    self._bring(np.arange(number * block, min(len(self), (number + 1) * block)))
            except DataError:  # of a record that may be none of these
                return None
            images = super()._kept(rows)
        return images

    def _bring(self, rows: Rows) -> None:
        """Bring these records into memory, unless they are there."""
        with self._lock:
            if self._cache is None or self._cache.get(rows) is not None:
                return
            records = self._decoder(self._reader.take(rows.tolist()), lambda index: self._reader.key(int(rows[index])))
            self.labels[rows] = records.labels
            self._cache.keep(rows, records.images)
