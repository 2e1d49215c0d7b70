"""The decoded records of a database by number."""

from __future__ import annotations

import numpy as np

from ..errors import DataError, Fault
from .cache import Array, Images
from .datum import Decoder
from .image import Colour, Picture
from .label_counts import LabelCounts, count_datum_labels
from .order import Rows
from .sources import Source, release
from .table import Table

_BLOCK_BYTES = 1 << 20
"""Small raw records are read and decoded so many at once, which costs little more than a few."""


class RecordTable(Table):
    """The records of a source, numbered in the order of their keys.

    Reading is done by one thread at a time, decoding side by side.
    """

    def __init__(self, source: Source, colour: Colour = "as stored", budget: int | None = None) -> None:
        """`source` was acquired for this table, which releases it."""
        super().__init__(np.empty(len(source), np.float32), budget)
        self._source: Source | None = source
        self._reader = source.reader()
        self._decoder = Decoder(colour, lazily=True)
        self._block = 1
        if not len(source):
            self.close()
            raise DataError(f'the database "{source.path}" has no records', code="CL403")

    @property
    def met_raw(self) -> bool:
        """Whether a record was not an encoded image."""
        return self._decoder.met_raw

    def first(self) -> Array | Picture:
        return self.records(np.zeros(1, np.int64)).images[0]

    def _key(self, row: int) -> str:
        with self._lock:
            return self._reader.key(row)

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
            for number in np.unique(rows // block).tolist():
                self._bring(np.arange(number * block, min(len(self), (number + 1) * block)))
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

    def fault(self, row: int, message: str, help: str | None = None) -> Fault:
        return Fault(f'record "{self._key(row)}" {message}', help=help)

    def label_counts(self) -> LabelCounts:
        with self._lock:
            return count_datum_labels(self._reader, len(self))

    def close(self) -> None:
        with self._lock:
            if self._source is not None:
                self._reader.close()
                release(self._source)
                self._source = None
