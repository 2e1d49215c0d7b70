"""One HDF5 file: what it holds, and blocks of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import CaffeliteError, DataError, Fault
from .block_order import Blocks
from .cache import free_bytes
from .hdf5_stored import COPY_AGAIN, check_chunks, check_stored
from .telling import exists

Floats = NDArray[np.float32]
Shape = tuple[int, ...]

BLOCK_BYTES = 32 << 20
"""About what is read at a time."""
_MOST_BYTES = 1 << 48
"""No file holds as much."""
_FLOAT = np.dtype(np.float32).itemsize
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
"""What h5py raises where a file is damaged; which of them depends on where in the file that is."""


@dataclass(frozen=True, slots=True)
class Table:
    """The wanted data sets of a file: the shape of a row of each, and how their rows are read."""

    row_shapes: list[Shape]
    blocks: Blocks


def measure(path: Path, names: Sequence[str]) -> Table:
    """What the file holds under these names.

    A block of rows is BLOCK_BYTES as float32, all data sets together, in whole chunks of the one with the widest rows.

    Raises:
        DataError: the file is missing or damaged; a data set is missing, holds no numbers or no rows, or a block of it
            does not fit into memory; or they differ in length.
    """
    with _opened(path) as file:
        datasets = [_dataset(file, path, name) for name in names]
        for name, dataset in zip(names, datasets, strict=True):
            check_stored(dataset, path, name)
        shapes = [tuple(dataset.shape) for dataset in datasets]
        _check_lengths(path, dict(zip(names, shapes, strict=True)))
        widest = max(datasets, key=lambda dataset: prod(dataset.shape[1:]))
        chunk = widest.chunks[0] if widest.chunks else 1
    rows, row_shapes = shapes[0][0], [shape[1:] for shape in shapes]
    row_bytes = max(1, sum(map(prod, row_shapes))) * _FLOAT
    block = min(rows, max(1, BLOCK_BYTES // row_bytes // chunk) * chunk)
    _check_size(path, rows, row_bytes, block)
    return Table(row_shapes, Blocks(rows, block, row_bytes))


def load(path: Path, names: Sequence[str], table: Table, blocks: Sequence[int]) -> list[Floats]:
    """The rows of these blocks, one after the other: for every name, a float32 array.

    Raises:
        DataError: the file is damaged, is no longer what was measured, or the rows do not fit into memory.
    """
    rows = table.blocks.rows_of(blocks)
    try:
        values = [np.empty((rows, *shape), np.float32) for shape in table.row_shapes]
        with _opened(path) as file, np.errstate(over="ignore", invalid="ignore"):  # too large for float32: infinite
            for name, target in zip(names, values, strict=True):
                dataset = _dataset(file, path, name)
                _check_unchanged(path, name, (table.blocks.rows, *target.shape[1:]), dataset.shape)
                done = 0
                for start, end in map(table.blocks.bounds, blocks):
                    check_chunks(dataset, path, name, start, end)
                    target[done : done + end - start] = dataset[start:end]
                    done += end - start
    except MemoryError as error:
        raise DataError(f'{rows} rows of "{path}", to be read at once, do not fit into memory') from error
    return values


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if exists(path) and not path.is_file():
        raise DataError(f'"{path}" cannot be opened as an HDF5 file: it is a folder or a device', code="CL402")
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise DataError(f'no file "{path}"', code="CL401") from error
    except _DAMAGE as error:
        help = "is it an HDF5 file, whole, and may it be read?"
        message = f'"{path}" cannot be opened as an HDF5 file: {error}'
        raise DataError(Fault(message, help=help, code="CL402")) from error
    try:
        with file:
            yield file
    except CaffeliteError:
        raise
    except _DAMAGE as error:
        message = f'"{path}" is damaged, or cut off: {error}'
        raise DataError(Fault(message, help=COPY_AGAIN, code="CL403")) from error


def _dataset(file: Any, path: Path, name: str) -> Any:
    """The data set called `name`, whose values are numbers."""
    try:
        dataset = file[name] if name in file else None  # noqa: SIM401  get() takes what cannot be opened for missing
    except KeyError as error:
        message = f'data set "{name}" of "{path}" cannot be opened: {error.args[0]}'
        help = "is it a link that leads nowhere? else the file is damaged"
        raise DataError(Fault(message, help=help, code="CL403")) from error
    if not isinstance(dataset, h5py.Dataset):
        known = [key for key in file if file.get(key, getclass=True) is h5py.Dataset]
        help = f"data sets are looked up by the names of the tops; this file has: {', '.join(known) or 'none'}"
        raise DataError(Fault(f'"{path}" has no data set "{name}"', help=help, code="CL407"))
    if dataset.dtype.kind not in "fiu":
        help = "write it as an array of floats or integers"
        message = f'data set "{name}" of "{path}" must hold numbers, got {dataset.dtype}'
        raise DataError(Fault(message, help=help, code="CL407"))
    if not dataset.shape:
        help = "its first axis counts the rows"
        message = f'data set "{name}" of "{path}" must have at least 1 axis'
        raise DataError(Fault(message, help=help, code="CL407"))
    return dataset


def _check_lengths(path: Path, shapes: dict[str, Shape]) -> None:
    if len({shape[0] for shape in shapes.values()}) > 1:
        lengths = ", ".join(f'"{name}" {shape[0]}' for name, shape in shapes.items())
        help = "the first axis counts the rows: row i of each belongs together"
        message = f'the data sets of "{path}" must have equally many rows, got {lengths}'
        raise DataError(Fault(message, help=help, code="CL407"))
    if not all(shape[0] for shape in shapes.values()):
        message = f'the data sets of "{path}" have no rows'
        raise DataError(Fault(message, help="leave the file out of the list", code="CL407"))


def _check_size(path: Path, rows: int, row_bytes: int, block: int) -> None:
    if rows * row_bytes > _MOST_BYTES:
        message = f'"{path}" is damaged: no file holds {rows} rows of {row_bytes} bytes'
        raise DataError(Fault(message, help=COPY_AGAIN, code="CL403"))
    if block * row_bytes > free_bytes():
        message = f'"{path}" cannot be read: {block} rows at once need {block * row_bytes >> 20:,} MiB of memory'
        help = "write it with fewer rows in a chunk: a chunk is read as a whole" if block > 1 else "a row is too large"
        raise DataError(Fault(message, help=help))


def _check_unchanged(path: Path, name: str, measured: Shape, now: Shape) -> None:
    if measured != now:
        message = f'"{path}" changed while it was in use: data set "{name}" was {measured} and is {now}'
        raise DataError(Fault(message, help="start again, and leave the file alone"))
