"""The images and boxes of a database of AnnotatedDatum records, by number."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from ..errors import DataError, Fault
from ..proto import AnnotatedDatum
from .boxes import Boxes
from .cache import Array, Images
from .datum import Decoder
from .image import Colour, Picture
from .label_counts import LabelCounts
from .order import Rows
from .sources import Source, release
from .table import Table

_AT_ONCE = 256
"""Records in memory at a time where no image is decoded."""


class AnnotatedTable(Table):
    """The records of a source, numbered in the order of their keys.

    Reading is done by one thread at a time, decoding side by side.

    Attributes:
        objects: the boxes of each record that was read.
        typed: of each record that was read, whether it says how it is annotated.
        met_raw: whether a record was not an encoded image.
    """

    def __init__(self, source: Source, colour: Colour = "as stored", budget: int | None = None) -> None:
        """`source` was acquired for this table, which releases it."""
        super().__init__(np.empty(len(source), np.float32), budget)
        self._source: Source | None = source
        self._reader = source.reader()
        self._decoder = Decoder(colour, lazily=True)
        self.objects: list[Boxes | None] = [None] * len(source)
        self.typed = np.zeros(len(source), bool)
        if not len(source):
            self.close()
            raise DataError(f'the database "{source.path}" has no records', code="CL403")

    @property
    def met_raw(self) -> bool:
        return self._decoder.met_raw

    def first(self) -> Array | Picture:
        return self.records(np.zeros(1, np.int64)).images[0]

    def boxes(self, row: int) -> Boxes:
        """Those of a record that was read."""
        found = self.objects[row]
        assert found is not None
        return found

    def _key(self, row: int) -> str:
        with self._lock:
            return self._reader.key(row)

    def _annotated(self, rows: Rows) -> list[Any]:
        """The records of these numbers, whose boxes are kept."""
        with self._lock:
            values = list(self._reader.take(rows.tolist()))
        records = [self._parsed(value, row) for value, row in zip(values, rows.tolist(), strict=True)]
        for record, row in zip(records, rows.tolist(), strict=True):
            self.objects[row], self.typed[row] = Boxes.of(record), record.HasField("type")
        return records

    def _parsed(self, value: bytes, row: int) -> Any:
        try:
            record = AnnotatedDatum.FromString(value)
        except DecodeError:
            record = AnnotatedDatum()
        if not record.HasField("datum"):
            help = "convert_annoset makes them; the Data layer reads records of plain Datum"
            raise DataError(self.fault(row, "is not an AnnotatedDatum with an image", help))
        return record

    def _read(self, rows: Rows) -> Images:
        images = [record.datum.SerializeToString() for record in self._annotated(rows)]
        records = self._decoder(images, lambda index: self._key(int(rows[index])))
        self.labels[rows] = records.labels
        return records.images

    def fault(self, row: int, message: str, help: str | None = None) -> Fault:
        return Fault(f'record "{self._key(row)}" {message}', help=help, code="CL403")

    def label_counts(self) -> LabelCounts:
        """How often each label of an image occurs; boxes do not count."""
        counts = LabelCounts()
        for start in range(0, len(self), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(self)))
            counts.update(float(np.float32(record.datum.label)) for record in self._annotated(rows))
        return counts

    def close(self) -> None:
        with self._lock:
            if self._source is not None:
                self._reader.close()
                release(self._source)
                self._source = None
