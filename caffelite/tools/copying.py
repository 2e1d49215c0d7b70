"""Data sets from one form into another: databases, HDF5 files, folders of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..data.datum import Decoder
from ..data.image import decode_image
from ..data.sources import kinds
from ..errors import DataError, Fault
from ..proto import Datum
from .databases import MOST_AT_ONCE, opened
from .datum_lmdb import Progress, Record, write_records
from .image_lists import read_list, read_tree
from .pictures import encoded
from .whole import whole

Array = NDArray[Any]

LIST = "list.txt"
"""In a folder of images: path and label of each, in order."""

_LIKE_HDF5 = (".h5", ".hdf5", ".hdf")
_DATA, _LABEL = "data", "label"
_LABELS = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True)
class Item:
    """One record of any form: its number, its image, C×H×W of uint8 or float32, and its label."""

    index: int
    image: Array
    label: float


@dataclass(frozen=True, slots=True)
class Items:
    """A data set of any form; `called(index)` names a record, for messages."""

    count: int
    each: Iterator[Item]
    called: Callable[[int], str]


# -- reading --------------------------------------------------------------------------------------------------------


@contextmanager
def _database(path: Path) -> Iterator[Items]:
    with opened(path) as database:
        decoder = Decoder()

        def each() -> Iterator[Item]:
            for start, values in database.values():
                records = decoder(values, database.keys_from(start))
                for index, (image, label) in enumerate(zip(records.images, records.labels, strict=True), start):
                    yield Item(index, image, float(label))

        yield Items(database.count, each(), lambda index: f'record "{database.reader.key(index)}"')


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """What h5py says of a file that it cannot read, as an error that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(f'"{path}" cannot be read as an HDF5 file: {error}') from error


@contextmanager
def _hdf5(path: Path) -> Iterator[Items]:
    with _told_of(path):
        file = h5py.File(path, "r")
    with file:
        with _told_of(path):
            data, label = _numbers(file, path, _DATA), _numbers(file, path, _LABEL)
        count = data.shape[0]
        if not 2 <= data.ndim <= 4 or not count:
            raise DataError(f'data set "{_DATA}" of "{path}" must be N×C, N×C×H or N×C×H×W, got {_by(data.shape)}')
        if label.size != count or label.shape[0] != count:
            raise DataError(
                f'data set "{_LABEL}" of "{path}" must have {count} rows of one label, got {_by(label.shape)}'
            )
        kind = np.uint8 if data.dtype == np.uint8 else np.float32
        shape = (*data.shape[1:], 1, 1)[:3]

        def each() -> Iterator[Item]:
            for start in range(0, count, MOST_AT_ONCE):
                rows = slice(start, start + MOST_AT_ONCE)
                with _told_of(path):
                    images, labels = data[rows].astype(kind, copy=False).reshape(-1, *shape), label[rows].ravel()
                for index, (image, value) in enumerate(zip(images, labels, strict=True), start):
                    yield Item(index, image, float(value))

        yield Items(count, each(), lambda index: f"row {index}")


def _numbers(file: Any, path: Path, name: str) -> Any:
    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or not found.shape:
        raise DataError(
            f'"{path}" must have data sets of numbers called "{_DATA}" and "{_LABEL}"; it has: {", ".join(file)}'
        )
    return found


@contextmanager
def _folder(path: Path) -> Iterator[Items]:
    entries = read_list(path / LIST) if (path / LIST).is_file() else read_tree(path)[0]

    def each() -> Iterator[Item]:
        for index, entry in enumerate(entries):
            try:
                image = decode_image((path / entry.name).read_bytes())
            except OSError as error:
                raise DataError(f'"{path}/{entry.shown}" cannot be read: {error.strerror}') from error
            except DataError as error:
                raise DataError(f'"{path}/{entry.shown}": {error.faults[0].message}') from error
            yield Item(index, image, float(entry.label))

    yield Items(len(entries), each(), lambda index: f'"{entries[index].shown}"')


# -- writing --------------------------------------------------------------------------------------------------------


def _to_lmdb(items: Items, path: Path, force: bool, progress: Progress | None) -> None:
    def records() -> Iterator[Record]:
        for item in items.each:
            channels, height, width = item.image.shape
            datum = Datum(channels=channels, height=height, width=width, label=_whole_label(item, items))
            if item.image.dtype == np.uint8:
                datum.data = item.image.tobytes()
            else:
                datum.float_data.extend(item.image.ravel().tolist())
            yield b"%08d" % item.index, datum.SerializeToString()

    write_records(path, records(), items.count, force, progress)


def _to_hdf5(items: Items, path: Path, force: bool, progress: Progress | None) -> None:
    _refuse(path, force, path.is_file() and h5py.is_hdf5(path), "an HDF5 file")
    with whole(path) as unfinished, h5py.File(unfinished, "w") as file:
        first: Item | None = None
        for start, part in _parts(items):
            if first is None:
                first = part[0]
                file.create_dataset(_DATA, (items.count, *first.image.shape), first.image.dtype)
                file.create_dataset(_LABEL, (items.count,), np.float32)
            for item in part:
                _refuse_another_shape(item, first, items)
            file[_DATA][start : start + len(part)] = np.stack([item.image for item in part])
            file[_LABEL][start : start + len(part)] = [item.label for item in part]
            if progress:
                progress(path.name, start + len(part), items.count)


def _parts(items: Items) -> Iterator[tuple[int, list[Item]]]:
    part: list[Item] = []
    done = 0
    for item in items.each:
        part.append(item)
        if len(part) == MOST_AT_ONCE:
            yield done, part
            done, part = done + len(part), []
    if part:
        yield done, part


def _refuse_another_shape(item: Item, first: Item, items: Items) -> None:
    if (item.image.shape, item.image.dtype) != (first.image.shape, first.image.dtype):
        here, there = (f"{_by(one.image.shape)} of {one.image.dtype}" for one in (item, first))
        raise DataError(
            f"the rows of an HDF5 file have one shape and type: {items.called(item.index)} is {here}, the first {there}"
        )


def _to_images(items: Items, path: Path, force: bool, progress: Progress | None) -> None:
    _refuse(path, force, (path / LIST).is_file(), f"a folder with {LIST}")
    with whole(path) as unfinished:
        unfinished.mkdir()
        lines = []
        for item in items.each:
            if item.image.dtype != np.uint8 or len(item.image) not in (1, 3, 4):
                what = f"{_by(item.image.shape)} of {item.image.dtype}"
                raise DataError(
                    f"{items.called(item.index)} is {what}; pictures have 1, 3 or 4 channels of uint8",
                    help="copy to HDF5",
                )
            label = _whole_label(item, items)
            name = f"{label}/{item.index:08d}.png"
            (unfinished / str(label)).mkdir(exist_ok=True)
            (unfinished / name).write_bytes(encoded(item.image, "PNG"))
            lines.append(f"{name} {label}\n")
            done = item.index + 1
            if progress and (done % MOST_AT_ONCE == 0 or done == items.count):
                progress(path.name, done, items.count)
        (unfinished / LIST).write_text("".join(lines), "utf-8")


def _refuse(path: Path, force: bool, ours: bool, called: str) -> None:
    """Raise DataError where writing to `path` would destroy something it should not."""
    if not path.exists():
        return
    if not ours:
        raise DataError(Fault(f'"{path}" exists and is not {called}; it is left alone', help="give another name"))
    if not force:
        raise DataError(Fault(f'"{path}" exists', help="--force writes it anew"))


def _whole_label(item: Item, items: Items) -> int:
    if not item.label.is_integer() or int(item.label) not in _LABELS:
        raise DataError(f"{items.called(item.index)} has the label {item.label:g}; it must be a whole number there")
    return int(item.label)


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


# -- copying --------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[Items, Path, bool, Progress | None], None]] = {
    "lmdb": _to_lmdb,
    "hdf5": _to_hdf5,
    "images": _to_images,
}
"""What can be written: by name, the function that does it."""


def form_of(path: Path) -> str | None:
    """The form that a target's name asks for; None where it does not say."""
    if path.suffix.lower() in _LIKE_HDF5:
        return "hdf5"
    return "lmdb" if path.name.lower().endswith(("lmdb", ".mdb")) else None


def _reader(path: Path) -> Callable[[Path], AbstractContextManager[Items]]:
    """How what lies at `path` is read."""
    if path.is_file() and h5py.is_hdf5(path):
        return _hdf5
    if path.exists() and any(kinds[name].lies_at(path) for name in kinds):
        return _database
    if path.is_dir():
        return _folder
    what = "is no LMDB and no HDF5 file" if path.exists() else "does not exist"
    raise DataError(f'"{path}" {what}')


def copy(source: Path, target: Path, to: str, force: bool = False, progress: Progress | None = None) -> int:
    """Write the records of one data set as another, in their order.

    Pixels and labels stay what they are; keys are numbered anew, `%08d`, and encoded images become pixels.  HDF5 files
    have the data sets "data" and "label".  A folder of images has `list.txt`, or else a folder per class.

    Args:
        to: one of :data:`FORMS`.
        force: replace what lies at `target`, if it is of that form.

    Returns:
        How many records there are.

    Raises:
        DataError: the source cannot be read, or its records cannot be kept in that form; the target cannot be written.
    """
    target = target.absolute()
    if target.exists() and source.exists() and os.path.samefile(source, target):
        raise DataError(f'"{source}" cannot be copied onto itself')
    with _reader(source)(source) as items:
        try:
            FORMS[to](items, target, force, progress)
        except OSError as error:
            raise DataError(f'writing "{target}" failed: {error.strerror or error}') from error
        return items.count
