"""How often each label occurs in a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .datum import parsed

if TYPE_CHECKING:
    from .hdf5 import Hdf5Rows
    from .sources import Reader

DatumOf = Callable[[bytes, Callable[[], str]], Any]

LabelCounts = Counter[float]
"""By label, how many there are; a label may be any number that the data holds."""

_AT_ONCE = 256
"""Records or rows in memory at a time."""


def count_labels(labels: NDArray[np.float32]) -> LabelCounts:
    """The labels of an array of any shape."""
    values, counts = np.unique(labels, return_counts=True)
    return LabelCounts(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def count_datum_labels(reader: Reader, records: int, datum_of: DatumOf = parsed) -> LabelCounts:
    """The labels of a database: every record is read once, no image is decoded.

    Args:
        datum_of: the Datum in a value; is given what finds its key, for messages.

    Raises:
        DataError: the database cannot be read, or a value holds no Datum; names its key.
    """
    counts = LabelCounts()
    for start in range(0, records, _AT_ONCE):
        values = reader.read(start, min(_AT_ONCE, records - start))
        datums = (datum_of(value, partial(reader.key, index)) for index, value in enumerate(values, start))
        counts.update(float(np.float32(datum.label)) for datum in datums)
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
