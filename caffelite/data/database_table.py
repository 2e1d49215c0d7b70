"""The images of a database by number."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault
from .cache import Array
from .datum import Decoder, parsed
from .image import Colour, Picture
from .label_counts import LabelCounts, count_datum_labels
from .order import Rows
from .sources import Source, release
from .table import Table


class DatabaseTable(Table):
    """The records of a source, numbered in the order of their keys.

    Reading is done by one thread at a time, decoding side by side.
    """

    def __init__(self, source: Source, colour: Colour = "as stored", budget: int | None = None) -> None:
        """`source` was acquired for this table, which releases it."""
        super().__init__(np.empty(len(source), np.float32), budget)
        self._source: Source | None = source
        self._reader = source.reader()
        self._decoder = Decoder(colour, lazily=True)
        if not len(source):
            self.close()
            raise DataError(f'the database "{source.path}" has no records', code="CL403")

    def first(self) -> Array | Picture:
        return self.records(np.zeros(1, np.int64)).images[0]

    def _key(self, row: int) -> str:
        with self._lock:
            return self._reader.key(row)

    def fault(self, row: int, message: str, help: str | None = None) -> Fault:
        return Fault(f'record "{self._key(row)}" {message}', help=help)

    @staticmethod
    def _datum(value: bytes, key: Callable[[], str]) -> Any:
        """The Datum in a value; `key` for messages."""
        return parsed(value, key)

    def label_size(self) -> int:
        with self._lock:
            return max(1, sum(len(value) for value in self._reader.take([0])))

    def labels_of(self, rows: Rows) -> NDArray[np.float32]:
        numbers = rows.tolist()
        with self._lock:
            values = list(self._reader.take(numbers))
        datums = (
            self._datum(bytes(value), partial(self._key, row)) for value, row in zip(values, numbers, strict=True)
        )
        return np.array([datum.label for datum in datums], np.float32)

    def label_counts(self) -> LabelCounts:
        with self._lock:
            return count_datum_labels(self._reader, len(self), self._datum)

    def close(self) -> None:
        with self._lock:
            if self._source is not None:
                self._reader.close()
                release(self._source)
                self._source = None
