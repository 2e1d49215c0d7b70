"""Data sets from one form into another: databases, HDF5 files, folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..errors import DataError, Fault
from .databases import opened
from .hdf5_tables import DATA, LABEL, is_named_hdf5
from .image_folders import LIST, ImageFolder
from .items import Array, Item, Items, by, form_at, is_whole, items_of, label_text
from .pictures import encoded
from .progress import Progress
from .whole import check_place, whole, writing
from .writers import Record, datum_value, kinds, write_records

FORMS = (*kinds, "hdf5", "images")
"""What can be written."""

_LABELS = range(-(2**31), 2**31)
_MOST_AT_ONCE = 256
_BYTES_AT_ONCE = 32 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """How many records there are now, and what of the source does not fit into the new form."""

    records: int
    left_out: tuple[str, ...] = ()


def form_of(path: Path) -> str | None:
    """The form that a target's name asks for; None where it does not say."""
    if is_named_hdf5(path):
        return "hdf5"
    if path.suffix.lower() == ".mdb":
        return "lmdb"
    return next((form for form in kinds if path.name.lower().endswith(form)), None)


def copy(source: Path, target: Path, to: str, force: bool = False, progress: Progress | None = None) -> Copied:
    """Write the records of one data set as another, in their order.

    From database to database keys and values stay byte for byte what they are.  From and to HDF5 files and folders of
    images, pixels and labels do: encoded images become pixels, and keys of a database are numbered, `%08d`.

    Args:
        to: one of :data:`FORMS`.
        force: replace what lies at `target`, if it is of that form.

    Raises:
        DataError: the source cannot be read (see :func:`.items.items_of`), or its records cannot be kept in that form;
            the target cannot be written.
    """
    if target.exists() and source.exists() and os.path.samefile(source, target):
        raise DataError(f'"{source}" cannot be copied onto itself')
    if to in kinds and form_at(source) == "database":
        with opened(source) as database:
            return Copied(write_records(target, database.entries(), database.count, force, progress, to))
    with items_of(source) as items:
        if to in kinds:
            write_records(target, _datums(items), items.count, force, progress, to)
        else:
            (_to_hdf5 if to == "hdf5" else _to_images)(items, target, force, progress)
        return Copied(items.count, items.left_out)


# -- databases ------------------------------------------------------------------------------------------------------


def _datums(items: Items) -> Iterator[Record]:
    for item in items.each:
        yield b"%08d" % item.index, datum_value(item.image, _datum_label(item, items))


def _datum_label(item: Item, items: Items) -> int:
    if len(item.labels) == 1 and is_whole(item.labels) and int(item.labels[0]) in _LABELS:
        return int(item.labels[0])
    what = f"{items.called(item.index)} has the label {label_text(item.labels)}"
    raise DataError(
        Fault(f"{what}; a record of a database has one whole number of 32 bits", help="copy to HDF5 or to images")
    )


# -- HDF5 -----------------------------------------------------------------------------------------------------------


def _to_hdf5(items: Items, path: Path, force: bool, progress: Progress | None) -> None:
    check_place(path, force, path.is_file() and h5py.is_hdf5(path), "an HDF5 file")
    with whole(path) as unfinished, writing(path, unfinished), h5py.File(unfinished, "w") as file:
        first: Item | None = None
        for start, part in _parts(items):
            if first is None:
                first = part[0]
                file.create_dataset(DATA, (items.count, *first.image.shape), first.image.dtype)
                labels = (items.count, len(first.labels))
                file.create_dataset(LABEL, labels if labels[1] > 1 else labels[:1], first.labels.dtype)
            for item in part:
                _refuse_another_shape(item, first, items)
            rows = slice(start, start + len(part))
            file[DATA][rows] = np.stack([item.image for item in part])
            file[LABEL][rows] = np.stack([item.labels for item in part]).reshape(-1, *file[LABEL].shape[1:])
            if progress:
                progress(path.name, rows.stop, items.count)


def _parts(items: Items) -> Iterator[tuple[int, list[Item]]]:
    """The items in portions, each with the number of its first."""
    part: list[Item] = []
    for item in items.each:
        part.append(item)
        if len(part) == min(_MOST_AT_ONCE, 1 + _BYTES_AT_ONCE // item.image.nbytes):
            yield part[0].index, part
            part = []
    if part:
        yield part[0].index, part


def _refuse_another_shape(item: Item, first: Item, items: Items) -> None:
    if (item.image.shape, item.image.dtype) != (first.image.shape, first.image.dtype):
        here, there = (f"{by(one.image.shape)} of {one.image.dtype}" for one in (item, first))
        raise DataError(
            f"the rows of an HDF5 file have one shape and type: {items.called(item.index)} is {here}, the first {there}"
        )


# -- folders of images ----------------------------------------------------------------------------------------------


def _to_images(items: Items, path: Path, force: bool, progress: Progress | None) -> None:
    """Pictures, in a folder per label where labels are single whole numbers, and their list."""
    check_place(path, force, _holds_listed_images(path), f"a folder with {LIST}, its images and nothing else")
    with whole(path) as unfinished, writing(path, unfinished):
        unfinished.mkdir()
        lines = []
        for done, item in enumerate(items.each, 1):
            label = _listed_label(item, items)
            folder = f"{label}/" if items.whole_labels else ""
            name = f"{folder}{item.index:08d}.png"
            (unfinished / folder).mkdir(exist_ok=True)
            (unfinished / name).write_bytes(encoded(_picture(item, items), "PNG"))
            lines.append(f"{name} {label}\n")
            if progress and (done % _MOST_AT_ONCE == 0 or done == items.count):
                progress(path.name, done, items.count)
        (unfinished / LIST).write_text("".join(lines), "utf-8")


def _holds_listed_images(folder: Path) -> bool:
    """Whether the folder holds what a list in it names, and nothing else that would be lost with it."""
    if not (folder / LIST).is_file():
        return False
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}
    try:
        return files - {LIST} <= set(ImageFolder.at(folder).names)
    except DataError:  # a list of something else
        return False


def _picture(item: Item, items: Items) -> Array:
    if item.image.dtype == np.uint8 and len(item.image) in (1, 3, 4):
        return item.image
    what = f"{by(item.image.shape)} of {item.image.dtype}"
    message = f"{items.called(item.index)} is {what}; pictures have 1, 3 or 4 channels of uint8"
    raise DataError(Fault(message, help="copy to HDF5"))


def _listed_label(item: Item, items: Items) -> str:
    if not np.isfinite(item.labels).all():
        message = f"{items.called(item.index)} has the label {label_text(item.labels)}, which no list can hold"
        raise DataError(Fault(message, help="copy to HDF5"))
    return label_text(item.labels)
