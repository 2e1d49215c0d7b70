"""How often each label occurs in a data set."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..errors import DataError, Fault
from ..proto import Datum

if TYPE_CHECKING:
    from .hdf5 import Hdf5Rows
    from .sources import Reader

LabelCounts = Counter[float]
"""By label, how many there are; a label may be any number that the data holds."""

_AT_ONCE = 256
"""Records or rows in memory at a time."""


def count_labels(labels: NDArray[np.float32]) -> LabelCounts:
    """The labels of an array of any shape."""
    values, counts = np.unique(labels, return_counts=True)
    return LabelCounts(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def count_datum_labels(reader: Reader, records: int) -> LabelCounts:
    """The labels of a database: every record is read once, no image is decoded.

    Raises:
        DataError: the database cannot be read, or a value is not a Datum; names its key.
    """
    counts = LabelCounts()
    for start in range(0, records, _AT_ONCE):
        values = reader.read(start, min(_AT_ONCE, records - start))
        counts.update(_label(value, reader, start + index) for index, value in enumerate(values))
    return counts


def count_row_labels(rows: Hdf5Rows) -> LabelCounts:
    """The numbers in the first data set of `rows`, every row once.

    Raises:
        DataError: a file is damaged, was changed, or does not fit into memory.
    """
    counts = LabelCounts()
    for start in range(0, len(rows), _AT_ONCE):
        counts.update(count_labels(rows.read(start, min(_AT_ONCE, len(rows) - start))[0]))
    return counts


def _label(value: bytes, reader: Reader, index: int) -> float:
    try:
        return float(np.float32(Datum.FromString(value).label))
    except DecodeError as error:
        raise DataError(Fault(f'record "{reader.key(index)}" is not a Datum', help="which tool wrote it?")) from error
