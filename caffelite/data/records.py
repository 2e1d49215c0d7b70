"""A stream of decoded records: source, decoder and cache behind one `read`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import DataError
from .cache import Cache
from .datum import Array, Decoder, Records, together
from .image import Colour
from .sources import Source, release


def _joined(parts: list[Records]) -> Records:
    if len(parts) == 1:
        return parts[0]
    labels = np.concatenate([part.labels for part in parts])
    return Records(together([image for part in parts for image in part.images]), labels)


class RecordStream:
    """The records of a source, again and again in the order of their keys.

    To be used by one thread at a time.
    """

    def __init__(self, source: Source, colour: Colour = "as stored", budget: int | None = None) -> None:
        """`source` was acquired for this stream, which releases it; `budget` is the most bytes to keep decoded."""
        self._source: Source | None = source
        self._reader = source.reader()
        self._count = len(source)
        self._decoder = Decoder(colour)
        self._budget = budget
        self._cache: Cache | None = None
        if not self._count:
            self.close()
            raise DataError(f'the database "{source.path}" has no records')

    @property
    def met_raw(self) -> bool:
        """Whether a record was not an encoded image."""
        return self._decoder.met_raw

    def first(self) -> Array:
        """The first record's image."""
        return self.read(0, 1).images[0]

    def key(self, position: int) -> str:
        """The key of the record at a position of the stream, for messages."""
        return self._reader.key(position % self._count)

    def read(self, position: int, count: int) -> Records:
        """The records at positions position … position + count − 1 of the endless stream.  Not to be written to.

        Raises:
            DataError: the database cannot be read, or a record is damaged.
        """
        return _joined([self._read_run(start, length) for start, length in self._runs(position, count)])

    def _runs(self, position: int, count: int) -> Iterator[tuple[int, int]]:
        """The range as runs inside the data set."""
        while count:
            start = position % self._count
            length = min(count, self._count - start)
            yield start, length
            position, count = position + length, count - length

    def _read_run(self, start: int, count: int) -> Records:
        records = self._cache.get(start, count) if self._cache is not None else None
        if records is None:
            values = self._reader.read(start, count)
            records = self._decoder(values, lambda index: self._reader.key(start + index))
            if self._cache is None:
                self._cache = Cache(self._count, records.images[0], self._budget)
            self._cache.put(start, records)
        return records

    def close(self) -> None:
        """Close the cursor and give the source back.  May be called twice."""
        if self._source is not None:
            self._reader.close()
            release(self._source)
            self._source = None
