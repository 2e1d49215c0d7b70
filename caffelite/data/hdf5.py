"""Rows of HDF5 files: several data sets side by side, file after file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault
from ..runtime import seeds
from .cache import free_bytes

Floats = NDArray[np.float32]
Shape = tuple[int, ...]


_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
"""What h5py raises where a file is damaged; which of them depends on where in the file that is."""


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise DataError(f'no file "{path}"') from error
    except _DAMAGE as error:
        raise DataError(f'"{path}" cannot be opened as an HDF5 file: {error}') from error
    try:
        with file:
            yield file
    except _DAMAGE as error:
        help = "copy it again, or build it again"
        raise DataError(Fault(f'"{path}" is damaged, or cut off: {error}', help=help)) from error


def _dataset(file: Any, path: Path, name: str) -> Any:
    """The data set called `name`, whose values are numbers."""
    try:
        dataset = file[name] if name in file else None  # noqa: SIM401  get() takes what cannot be opened for missing
    except KeyError as error:
        message = f'data set "{name}" of "{path}" cannot be opened: {error.args[0]}'
        raise DataError(Fault(message, help="is it a link that leads nowhere? else the file is damaged")) from error
    if not isinstance(dataset, h5py.Dataset):
        known = [key for key in file if file.get(key, getclass=True) is h5py.Dataset]
        help = f"data sets are looked up by the names of the tops; this file has: {', '.join(known) or 'none'}"
        raise DataError(Fault(f'"{path}" has no data set "{name}"', help=help))
    if dataset.dtype.kind not in "fiu":
        raise DataError(f'data set "{name}" of "{path}" must hold numbers, got {dataset.dtype}')
    if not dataset.shape:
        raise DataError(f'data set "{name}" of "{path}" must have at least 1 axis')
    needed = prod(dataset.shape) * np.dtype(np.float32).itemsize
    if needed > free_bytes():
        size = "×".join(map(str, dataset.shape))
        raise DataError(
            Fault(
                f'data set "{name}" of "{path}" is {size} and does not fit into memory ({needed >> 20:,} MiB)',
                help="write it as several files: one of them is in memory at a time",
            )
        )
    return dataset


def shapes_in(path: Path, names: Sequence[str]) -> list[Shape]:
    """The shapes of the data sets `names`.

    Raises:
        DataError: the file is missing or damaged; a data set is missing, holds no numbers or no rows, or does not fit
            into memory; or they differ in length.
    """
    with _opened(path) as file:
        shapes = [tuple(_dataset(file, path, name).shape) for name in names]
    if len({shape[0] for shape in shapes}) > 1:
        lengths = ", ".join(f'"{name}" {shape[0]}' for name, shape in zip(names, shapes, strict=True))
        raise DataError(f'the data sets of "{path}" must have equally many rows, got {lengths}')
    if not shapes[0][0]:
        raise DataError(f'the data sets of "{path}" have no rows')
    return shapes


class Hdf5Rows:
    """The rows of a list of files, again and again; one file is in memory at a time.

    Shuffled, every epoch takes the files in another order and every file's rows in another order, which depend on
    (seed, layer, epoch) alone; rows of different files are not mixed.
    """

    def __init__(self, files: Sequence[Path], names: Sequence[str], shuffled_by: tuple[int, str] | None = None) -> None:
        """`shuffled_by`: the (seed, layer) whose draws order the rows; None: as they stand.

        Raises:
            DataError: as :func:`shapes_in`, or the rows of different files differ in shape.
        """
        self._files = files
        self._names = names
        self._shuffled_by = shuffled_by
        shapes = [shapes_in(file, names) for file in files]
        for file, there in zip(files, shapes, strict=True):
            for name, first, here in zip(names, shapes[0], there, strict=True):
                if first[1:] != here[1:]:
                    raise DataError(
                        f'rows of "{name}" must have one shape: {first[1:]} in "{files[0]}", {here[1:]} in "{file}"'
                    )
        self._rows = [there[0][0] for there in shapes]
        self._row_shapes = [shape[1:] for shape in shapes[0]]
        self._loaded: tuple[int, list[Floats]] | None = None

    def read(self, position: int, count: int) -> list[Floats]:
        """Rows position … position + count − 1 of the endless stream: for every name, a new float32 array."""
        batch = [np.empty((count, *shape), np.float32) for shape in self._row_shapes]
        done = 0
        for file, rows in self._runs(position, count):
            for target, values in zip(batch, self._load(file), strict=True):
                target[done : done + len(rows)] = values[rows]
            done += len(rows)
        return batch

    def _runs(self, position: int, count: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The range as (file, rows of it)."""
        total = sum(self._rows)
        epoch, start = divmod(position, total)
        while count:
            for file in self._order("files", len(self._files), epoch):
                here = self._rows[file] - start
                if here > 0 and count:
                    rows = self._order("rows", self._rows[file], epoch, int(file))[start:][:count]
                    yield int(file), rows
                    count -= len(rows)
                start = max(0, -here)
            epoch += 1

    def _order(self, what: str, count: int, *keys: int) -> NDArray[np.int64]:
        if self._shuffled_by is None:
            return np.arange(count)
        seed, layer = self._shuffled_by
        return seeds.generator(seed, layer, what, *keys).permutation(count)

    def _load(self, index: int) -> list[Floats]:
        if self._loaded is None or self._loaded[0] != index:
            path = self._files[index]
            with _opened(path) as file, np.errstate(over="ignore"):  # too large for float32 is infinite, as in HDF5
                values = [_dataset(file, path, name)[...].astype(np.float32, copy=False) for name in self._names]
            self._loaded = (index, values)
        return self._loaded[1]
