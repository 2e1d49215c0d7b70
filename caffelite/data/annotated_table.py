"""The images and boxes of a database of AnnotatedDatum records, by number."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from ..errors import DataError, Fault
from ..proto import AnnotatedDatum
from .boxes import Boxes
from .cache import Images
from .database_table import DatabaseTable
from .order import Rows


class AnnotatedTable(DatabaseTable):
    """Records of AnnotatedDatum.

    Attributes:
        objects: the boxes of each record that was read.
        typed: of each record that was read, whether it says how it is annotated.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.objects: list[Boxes | None] = [None] * len(self)
        self.typed = np.zeros(len(self), bool)

    def boxes(self, row: int) -> Boxes:
        """Those of a record that was read."""
        found = self.objects[row]
        assert found is not None
        return found

    def _read(self, rows: Rows) -> Images:
        numbers = rows.tolist()
        with self._lock:
            values = list(self._reader.take(numbers))
        found = [_parsed(value, partial(self._key, row)) for value, row in zip(values, numbers, strict=True)]
        for record, row in zip(found, numbers, strict=True):
            self.objects[row], self.typed[row] = Boxes.of(record), record.HasField("type")
        images = [record.datum.SerializeToString() for record in found]
        records = self._decoder(images, lambda index: self._key(numbers[index]))
        self.labels[rows] = records.labels
        return records.images

    @staticmethod
    def _datum(value: bytes, key: Callable[[], str]) -> Any:
        return _parsed(value, key).datum


def _parsed(value: bytes, key: Callable[[], str]) -> Any:
    """An AnnotatedDatum with an image; `key` for messages."""
    try:
        record = AnnotatedDatum.FromString(value)
    except DecodeError:
        record = AnnotatedDatum()
    if not record.HasField("datum"):
        help = "convert_annoset makes them; the Data layer reads records of plain Datum"
        raise DataError(Fault(f'record "{key()}" is not an AnnotatedDatum with an image', help=help, code="CL403"))
    return record
