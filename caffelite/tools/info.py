"""What is in a data set: a database, an HDF5 file, a folder of images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from ..data.sources import kinds as sources
from ..errors import DataError, Fault
from ..proto import Datum
from .databases import opened
from .hdf5_tables import LABEL, is_numbers, opened_hdf5, portions
from .image_folders import LIST, ImageFolder
from .items import Array, by, form_at, items_of
from .label_tally import LabelTally
from .pictures import Shown, caption, write_grid
from .progress import Progress

Kind = tuple[str, tuple[int, ...]]
"""How a record's image is kept ("raw uint8", "float32", "encoded PNG" …), and its shape, C×H×W."""

_MOST_KINDS = 10
_MOST_DAMAGED = 10
_TOLD_EVERY = 256

_PILLOW_CHANNELS = {"1": 1, "L": 1, "LA": 4, "RGBA": 4}
"""By Pillow's mode, channels as they are decoded where no colour is forced; all other modes give 3."""


@dataclass(slots=True)
class Info:
    """What a look at every record told.

    Attributes:
        what: the form in words, and how many records of it there are.
        facts: lines on its own way of keeping them: keys, data sets, names of files.
    """

    path: Path
    what: str
    bytes: int
    facts: list[str] = field(default_factory=list)
    kinds: Counter[Kind] = field(default_factory=Counter)
    labels: LabelTally = field(default_factory=LabelTally)
    damaged: list[Fault] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The report, in characters that can be printed: names and keys may hold any."""
        for line in self._lines():
            yield "".join(character if character.isprintable() else "\ufffd" for character in line)

    def _lines(self) -> Iterator[str]:
        yield f"{self.path}: {self.what}, {_size(self.bytes)} on disk"
        yield from self.facts
        yield from self._sizes() if len(self.kinds) > _MOST_KINDS else self._kinds()
        yield from self.labels.lines()

    def _kinds(self) -> Iterator[str]:
        for (how, shape), count in self.kinds.most_common():
            yield f"images   {count} of {by(shape)} (channels×height×width), {how}"

    def _sizes(self) -> Iterator[str]:
        """Of many shapes, the least and the greatest height and width."""
        for how, channels in sorted({(how, shape[0]) for how, shape in self.kinds}):
            alike = {shape: count for (one, shape), count in self.kinds.items() if (one, shape[0]) == (how, channels)}
            heights, widths = ([shape[axis] for shape in alike] for axis in (1, 2))
            size = f"height {min(heights)} … {max(heights)}, width {min(widths)} … {max(widths)}"
            yield f"images   {sum(alike.values())} of {channels} channels, {size}, {how}"


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def key_format(key: str) -> str:
    """How keys like this one are made, as printf would be told."""
    digits, rest = re.fullmatch(r"(\d*)(.*)", key, re.DOTALL).groups()  # type: ignore[union-attr]
    if not digits:
        return "not numbered"
    return f"%0{len(digits)}d" + ("_name" if rest.startswith("_") else "" if not rest else "…")


def describe(path: Path, backend: str | None = None, progress: Progress | None = None) -> Info:
    """Look at every record of a data set.  Of encoded images and of files only the header is read.

    Args:
        backend: "lmdb" or "leveldb"; None: found by looking.

    Raises:
        DataError: it cannot be read.  Records that are damaged are told in `Info.damaged`.
    """
    form = form_at(path) if backend is None else "database"
    if form == "database":
        return _of_database(path, backend, progress)
    return _of_hdf5(path, progress) if form == "hdf5" else _of_folder(path, progress)


def _of_database(path: Path, backend: str | None, progress: Progress | None) -> Info:
    with opened(path, backend) as database:
        first, last = database.reader.key(0), database.reader.key(database.count - 1)
        kind = sources[database.backend].called.split()[-1]
        info = Info(path, f"{kind}, {database.count} records", _bytes_of(path))
        damaged: list[tuple[int, str]] = []
        size = 0
        for start, values in database.values():
            for index, value in enumerate(values, start):
                size += len(value)
                try:
                    _look(value, info)
                except DataError as error:
                    damaged.append((index, error.faults[0].message))
            if progress:
                progress(path.name, start + len(values), database.count)
        info.facts += [
            f"keys     {first} … {last} ({key_format(first)})",
            f"values   {_size(size)}, {_size(size / database.count)} each",
        ]
        told = [Fault(f'record "{database.reader.key(at)}" {what}') for at, what in damaged[:_MOST_DAMAGED]]
        info.damaged = [*told, *_and_more(len(damaged))]
        return info


def _and_more(damaged: int) -> list[Fault]:
    more = damaged - _MOST_DAMAGED
    return [Fault(f"and {more} more damaged records")] if more > 0 else []


def _look(value: bytes, info: Info) -> None:
    try:
        datum = Datum.FromString(value)
    except DecodeError as error:
        raise DataError("is not a Datum") from error
    info.kinds[_kind(datum)] += 1
    if datum.HasField("label"):
        info.labels.counts[datum.label] += 1
    else:
        info.labels.missing += 1


def _kind(datum: Any) -> Kind:
    if datum.encoded:
        how, shape = _header(BytesIO(datum.data))
        return f"encoded {how}", shape
    shape = (datum.channels, datum.height, datum.width)
    how, count = ("raw uint8", len(datum.data)) if datum.data else ("float32", len(datum.float_data))
    if min(shape) < 1 or count != shape[0] * shape[1] * shape[2]:
        raise DataError(f"says {by(shape)}, but holds {count} values")
    return how, shape


def _header(file: Path | BytesIO) -> Kind:
    """Format and shape of an encoded image."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return str(image.format), (_PILLOW_CHANNELS.get(image.mode, 3), image.height, image.width)
    except Exception as error:  # whatever a damaged file leads Pillow's readers to
        raise DataError("is in no format that can be decoded") from error


def _bytes_of(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


# -- HDF5 files -----------------------------------------------------------------------------------------------------


def _of_hdf5(path: Path, progress: Progress | None) -> Info:
    with opened_hdf5(path) as datasets:
        info = Info(path, f"HDF5 file, {_rows(datasets)}", _bytes_of(path))
        numbers = {name: found for name, found in datasets.items() if is_numbers(found)}
        total, done = sum(found.size for found in numbers.values()), 0
        spans = {name: _Span() for name in datasets}
        for name, found in numbers.items():
            for part in portions(path, found):
                spans[name].add(part)
                if name == LABEL:
                    info.labels.add(part.reshape(len(part), -1))
                done += part.size
                if progress:
                    progress(path.name, done, total)
        for name, found in datasets.items():
            info.facts.append(f"{name:<8} {_size_of(found)} of {found.dtype}{spans[name]}")
        return info


def _size_of(dataset: Any) -> str:
    return by(dataset.shape) if dataset.shape else "none" if dataset.shape is None else "one"


def _rows(datasets: dict[str, Any]) -> str:
    lengths = {found.shape[0] if found.shape else 1 for found in datasets.values()}
    return f"{lengths.pop()} rows" if len(lengths) == 1 else f"{len(datasets)} data sets of different lengths"


@dataclass(slots=True)
class _Span:
    """The least and the greatest of many numbers, and how many are infinite or none at all."""

    low: Any = inf
    high: Any = -inf
    odd: int = 0

    def add(self, values: Array) -> None:
        finite = values[np.isfinite(values)]
        self.odd += values.size - finite.size
        if finite.size:
            self.low, self.high = min(self.low, finite.min()), max(self.high, finite.max())

    def __str__(self) -> str:
        low, high = (str(one) if isinstance(one, np.integer) else f"{one:g}" for one in (self.low, self.high))
        span = f", {low} … {high}" if self.low <= self.high else ""
        return span + (f", {self.odd} not finite" if self.odd else "")


# -- folders of images ----------------------------------------------------------------------------------------------


def _of_folder(path: Path, progress: Progress | None) -> Info:
    folder = ImageFolder.at(path)
    count = len(folder.names)
    where = f"{len(folder.classes)} classes" if folder.classes else LIST
    info = Info(path, f"folder of images, {count} in {where}", 0)
    info.facts.append(f"files    {folder.names[0]} … {folder.names[-1]}")
    info.labels.names = folder.classes
    info.labels.add(folder.labels)
    damaged = []
    for index in range(count):
        try:
            info.bytes += folder.file(index).stat().st_size
            info.kinds[_header(folder.file(index))] += 1
        except OSError as error:
            damaged.append(Fault(f"{folder.called(index)} cannot be read: {error.strerror}"))
        except DataError as error:
            damaged.append(Fault(f"{folder.called(index)} {error.faults[0].message}"))
        if progress and ((index + 1) % _TOLD_EVERY == 0 or index + 1 == count):
            progress(path.name, index + 1, count)
    info.damaged = [*damaged[:_MOST_DAMAGED], *_and_more(len(damaged))]
    return info


# -- pictures -------------------------------------------------------------------------------------------------------


def write_first(path: Path, picture: Path, count: int = 64, rgb: bool = False) -> tuple[float, float]:
    """Draw the first records of a data set as a grid, the label under each; see :func:`write_grid`.

    Returns:
        The least and the greatest value, which images that are not of uint8 are scaled by.

    Raises:
        DataError: it cannot be read, one of them is damaged, or the picture's format is unknown.
        SnapshotError: the picture cannot be written.
    """
    with items_of(path) as items:
        first = list(islice(items.each, count))
    shown = Shown.of([item.image for item in first])
    write_grid(picture, shown.images, [caption(item.labels) for item in first], rgb)
    return shown.range
