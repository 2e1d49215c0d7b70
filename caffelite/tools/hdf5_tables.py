"""HDF5 files read row by row, whatever their size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import CaffeliteError, DataError, Fault

DATA, LABEL = "data", "label"
"""The data sets that hold images and labels."""

_BYTES_AT_ONCE = 32 << 20
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError)
"""What h5py raises where a file is damaged; which of them depends on where in the file that is."""


@contextmanager
def _read_from(path: Path) -> Iterator[None]:
    try:
        yield
    except CaffeliteError:
        raise
    except _DAMAGE as error:
        help = "copy it again, or build it again"
        raise DataError(Fault(f'"{path}" cannot be read as an HDF5 file: {error}', help=help)) from error


@contextmanager
def opened_hdf5(path: Path) -> Iterator[dict[str, Any]]:
    """The data sets of a file by their names, those in groups and those that links lead to included.

    Raises:
        DataError: it cannot be read.
    """
    found = dict[str, Any]()
    with _read_from(path):
        file = h5py.File(path, "r")
    with file:
        with _read_from(path):
            for name in file:  # visititems passes links by
                _enter(name, file.get(name), found)
            file.visititems(lambda name, one: _enter(name, one, found))
        yield dict(sorted(found.items()))


def _enter(name: str, one: Any, found: dict[str, Any]) -> None:
    if isinstance(one, h5py.Dataset):
        found[name] = one


def is_named_hdf5(path: Path) -> bool:
    """Whether a name is that of an HDF5 file."""
    return path.suffix.lower() in (".h5", ".hdf5", ".hdf")


def is_numbers(dataset: Any) -> bool:
    """Whether a data set holds numbers, at least one."""
    return dataset.dtype.kind in "fiu" and bool(dataset.size)


def row_portion(dataset: Any) -> int:
    """How many rows of a data set are read at a time."""
    return max(1, _BYTES_AT_ONCE * len(dataset) // dataset.nbytes)


def portions(path: Path, dataset: Any, rows: int | None = None) -> Iterator[NDArray[Any]]:
    """The values of a data set of the file at `path`, so many rows at a time; a single value as one row.

    Raises:
        DataError: they cannot be read.
    """
    if not dataset.shape:
        with _read_from(path):
            value = np.array([dataset[()]])
        yield value
        return
    rows = rows or row_portion(dataset)
    for start in range(0, len(dataset), rows):
        with _read_from(path):
            part = dataset[start : start + rows]
        yield part
