"""Data sets of any form as one stream of images with labels: databases, HDF5 files, folders of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..data.datum import Decoder
from ..data.sources import kinds
from ..errors import DataError
from ..proto import Datum
from .databases import opened
from .hdf5_tables import DATA, LABEL, is_numbers, opened_hdf5, portions, row_portion
from .image_folders import ImageFolder

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Item:
    """One record: its number, its image, C×H×W of uint8 or float32, and its labels, K numbers."""

    index: int
    image: Array
    labels: Array


@dataclass(frozen=True, slots=True)
class Items:
    """A data set.

    Attributes:
        called: what a record is called, by its number, for messages.
        whole_labels: every record has one label, a whole number.
        left_out: what else is there and does not come along.
    """

    count: int
    each: Iterator[Item]
    called: Callable[[int], str]
    whole_labels: bool = True
    left_out: tuple[str, ...] = ()


def is_whole(labels: Array) -> bool:
    """Whether these are whole numbers."""
    return bool(np.all(np.isfinite(labels) & (labels == np.floor(labels))))


def number(label: Any) -> float:
    """A label as Python's number: whole ones without a point, others with the digits that tell them apart."""
    if np.isnan(label):
        return nan  # always the same object, which a Counter needs
    return int(label) if is_whole(label) else float(str(label))


def label_text(labels: Array) -> str:
    """Labels as lists of images have them: commas between them, whole numbers without a point."""
    return ",".join(str(number(label)) for label in labels)


def by(shape: Sequence[int]) -> str:
    """A shape for messages."""
    return "×".join(map(str, shape))


def form_at(path: Path) -> str:
    """What lies at `path`: "database", "hdf5" or "images".

    Raises:
        DataError: nothing does, or something else.
    """
    if not path.exists():
        raise DataError(f'"{path}" does not exist')
    if path.is_file() and h5py.is_hdf5(path):
        return "hdf5"
    if any(kinds[name].lies_at(path) for name in kinds):
        return "database"
    if path.is_dir():
        return "images"
    raise DataError(f'"{path}" is no LMDB, no LevelDB, no HDF5 file, and no folder')


def items_of(path: Path) -> AbstractContextManager[Items]:
    """The records of what lies at `path`.

    A database is an LMDB or a LevelDB.  An HDF5 file has the data sets "data", N×C, N×C×H or N×C×H×W, and "label", N or
    N×K.  A folder of images has `list.txt`, or else a folder per class.

    Raises:
        DataError: as :func:`form_at`, or it is damaged or not of that form; while reading, too.
    """
    return {"database": _database, "hdf5": _hdf5, "images": _folder}[form_at(path)](path)


@contextmanager
def _database(path: Path) -> Iterator[Items]:
    with opened(path) as database:
        decoder = Decoder()

        def each() -> Iterator[Item]:
            for start, values in database.values():
                images = decoder(values, database.keys_from(start)).images
                for index, (image, value) in enumerate(zip(images, values, strict=True), start):
                    # Not the decoder's label: single precision would round one of 2²⁴ and more.
                    yield Item(index, image, np.array([Datum.FromString(value).label], np.int32))

        yield Items(database.count, each(), lambda index: f'record "{database.reader.key(index)}"')


@contextmanager
def _hdf5(path: Path) -> Iterator[Items]:
    with opened_hdf5(path) as datasets:
        data, label = (_numbers(datasets, path, name) for name in (DATA, LABEL))
        count = len(data)
        if not 2 <= data.ndim <= 4:
            raise DataError(f'data set "{DATA}" of "{path}" must be N×C, N×C×H or N×C×H×W, got {by(data.shape)}')
        if len(label) != count or label.size != count * max(label.shape[1:], default=1):
            raise DataError(
                f'data set "{LABEL}" of "{path}" must be {count} or {count}×K, one row for each image, '
                f"got {by(label.shape)}"
            )
        whole_labels = label.size == count and all(is_whole(part) for part in portions(path, label))
        left_out = tuple(f'data set "{name}"' for name in datasets if name not in (DATA, LABEL))
        yield Items(count, _hdf5_items(path, data, label), lambda index: f"row {index}", whole_labels, left_out)


def _numbers(datasets: dict[str, Any], path: Path, name: str) -> Any:
    found = datasets.get(name)
    if found is None or not is_numbers(found) or not found.shape:
        holds = ", ".join(f"{name} ({by(one.shape or ())} of {one.dtype})" for name, one in datasets.items())
        wanted = f'must have data sets of numbers called "{DATA}" and "{LABEL}"'
        raise DataError(f'"{path}" {wanted}; it has: {holds or "none at all"}')
    return found


def _hdf5_items(path: Path, data: Any, label: Any) -> Iterator[Item]:
    kind = np.uint8 if data.dtype == np.uint8 else np.float32
    shape = (*data.shape[1:], 1, 1)[:3]
    rows, start = row_portion(data), 0
    for images, labels in zip(portions(path, data, rows), portions(path, label, rows), strict=True):
        images = images.astype(kind, copy=False).reshape(-1, *shape)
        for index, (image, numbers) in enumerate(zip(images, labels.reshape(len(labels), -1), strict=True), start):
            yield Item(index, image, numbers)
        start += len(images)


@contextmanager
def _folder(path: Path) -> Iterator[Items]:
    folder = ImageFolder.at(path)
    count = len(folder.names)
    each = (Item(index, folder.decode(index), folder.labels[index]) for index in range(count))
    names = (f"the names of classes 0 … {len(folder.classes) - 1}",) if folder.classes else ()
    whole_labels = folder.labels.shape[1] == 1 and is_whole(folder.labels)
    yield Items(count, each, folder.called, whole_labels, names)
