"""The decoded records of a database by number: source, decoder and cache behind one call."""

from __future__ import annotations

import threading

import numpy as np

from ..errors import DataError
from .cache import Cache, as_slice
from .datum import Array, Decoder, Records
from .image import Colour, Picture
from .label_counts import LabelCounts, count_datum_labels
from .order import Rows
from .sources import Source, release

_BLOCK_BYTES = 1 << 20
"""Small raw records are read and decoded so many at once, which costs little more than a few."""


class RecordTable:
    """The records of a source, numbered in the order of their keys.

    Several threads may read at once: reading is done by one of them at a time, decoding side by side.
    """

    def __init__(self, source: Source, colour: Colour = "as stored", budget: int | None = None) -> None:
        """`source` was acquired for this stream, which releases it; `budget` is the most bytes to keep decoded."""
        self._source: Source | None = source
        self._reader = source.reader()
        self._count = len(source)
        self._decoder = Decoder(colour, pictures=True)
        self._budget = budget
        self._lock = threading.Lock()
        self._cache: Cache | None = None
        self._block = 1
        self._labels = np.empty(self._count, np.float32)
        if not self._count:
            self.close()
            raise DataError(f'the database "{source.path}" has no records')

    def __len__(self) -> int:
        return self._count

    @property
    def met_raw(self) -> bool:
        """Whether a record was not an encoded image."""
        return self._decoder.met_raw

    def first(self) -> Array | Picture:
        """The first record's image, C×H×W."""
        return self.records(np.zeros(1, np.int64)).images[0]

    def key(self, row: int) -> str:
        """The key of a record, for messages."""
        with self._lock:
            return self._reader.key(row)

    def records(self, rows: Rows) -> Records:
        """The records of these numbers.  Not to be written to.

        Raises:
            DataError: the database cannot be read, or a record is damaged.
        """
        kept = self._kept(rows)
        if kept is not None:
            return kept
        with self._lock:
            values = self._reader.take(rows.tolist())
        records = self._decoder(values, lambda index: self.key(int(rows[index])))
        with self._lock:
            if self._cache is None:
                self._cache = Cache(self._count, records.images[0], self._budget)
                self._block = max(1, _BLOCK_BYTES // max(1, values.ends[0]))
            self._labels[as_slice(rows)] = records.labels
        return Records(self._cache.keep(rows, records.images), records.labels)

    def _kept(self, rows: Rows) -> Records | None:
        """The records from memory, if they are there, or can be brought there as raw images, a block at a time."""
        if self._cache is None:
            return None
        images = self._cache.get(rows)
        if images is None and self._cache.open and self._decoder.raw and len(rows) < self._block:
            for block in np.unique(rows // self._block).tolist():
                self._bring(np.arange(block * self._block, min(self._count, (block + 1) * self._block)))
            images = self._cache.get(rows)
        return None if images is None else Records(images, self._labels[as_slice(rows)])

    def _bring(self, rows: Rows) -> None:
        """Bring these records into memory, unless they are there."""
        with self._lock:
            if self._cache is None or self._cache.get(rows[[0, -1]]) is not None:
                return
            records = self._decoder(self._reader.take(rows.tolist()), lambda index: self._reader.key(int(rows[index])))
            self._labels[as_slice(rows)] = records.labels
            self._cache.keep(rows, records.images)

    def label_counts(self) -> LabelCounts:
        """How often each label occurs; reads every record once."""
        with self._lock:
            return count_datum_labels(self._reader, self._count)

    def close(self) -> None:
        """Close the cursor and give the source back.  May be called twice."""
        with self._lock:
            if self._source is not None:
                self._reader.close()
                release(self._source)
                self._source = None
