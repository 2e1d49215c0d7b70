"""What is in a database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from ..data.datum import Decoder
from ..errors import DataError, Fault
from ..proto import Datum
from .databases import opened
from .datum_lmdb import Progress
from .pictures import Shown, write_grid

Kind = tuple[str, tuple[int, ...]]
"""How a record's image is kept ("uint8", "float", "encoded PNG" …), and its shape, C×H×W."""

_MOST_CLASSES = 20
_MOST_KINDS = 10
_MOST_DAMAGED = 10
_BAR = 40

_PILLOW_CHANNELS = {"1": 1, "L": 1, "LA": 4, "RGBA": 4}
"""By Pillow's mode, channels as they are decoded where no colour is forced; all other modes give 3."""


@dataclass(slots=True)
class Info:
    """What a look at every record told."""

    path: Path
    backend: str
    records: int
    bytes: int
    first_key: str
    last_key: str
    kinds: Counter[Kind] = field(default_factory=Counter)
    labels: Counter[int | None] = field(default_factory=Counter)
    value_bytes: int = 0
    damaged: list[Fault] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The report."""
        yield f"{self.path}: {self.backend}, {self.records} records, {_size(self.bytes)} on disk"
        each = self.value_bytes / self.records
        yield f"keys     {self.first_key} … {self.last_key} ({key_format(self.first_key)})"
        yield f"values   {_size(self.value_bytes)}, {_size(each)} each"
        for (how, shape), count in self.kinds.most_common(_MOST_KINDS):
            yield f"images   {count} of {'×'.join(map(str, shape))} (channels×height×width), {how}"
        if len(self.kinds) > _MOST_KINDS:
            yield f"         and {len(self.kinds) - _MOST_KINDS} more sizes"
        yield from self._label_lines()

    def _label_lines(self) -> Iterator[str]:
        counts = sorted((label, count) for label, count in self.labels.items() if label is not None)
        yield f"labels   {len(counts)} different" + (f", {counts[0][0]} … {counts[-1][0]}" if counts else "")
        if self.labels[None]:
            yield f"         {self.labels[None]} records have no label: a Data layer reads 0 there"
        if len(counts) > _MOST_CLASSES:
            (few, least), (many, most) = (choose(counts, key=lambda one: one[1]) for choose in (min, max))
            yield f"         rarest {few} ({least} records), most frequent {many} ({most} records)"
            return
        most = max((count for _, count in counts), default=1)
        for label, count in counts:
            bar = "#" * round(_BAR * count / most)
            yield f"  {label:>5}  {count:>8}  {100 * count / self.records:5.1f} %  {bar}".rstrip()


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
    """Look at every record of a database.  Of encoded images only the header is read.

    Args:
        backend: "lmdb" or "leveldb"; None: found by looking.

    Raises:
        DataError: it cannot be read.  Records that are damaged are told in `Info.damaged`.
    """
    with opened(path, backend) as database:
        keys = (database.reader.key(0), database.reader.key(database.count - 1))
        info = Info(path, database.backend, database.count, _bytes_of(path), *keys)
        damaged: list[tuple[int, str]] = []
        for start, values in database.values():
            for index, value in enumerate(values, start):
                info.value_bytes += len(value)
                try:
                    _look(value, info)
                except DataError as error:
                    damaged.append((index, error.faults[0].message))
            if progress:
                progress(path.name, start + len(values), database.count)
        info.damaged = [Fault(f'record "{database.reader.key(at)}" {what}') for at, what in damaged[:_MOST_DAMAGED]]
        if len(damaged) > _MOST_DAMAGED:
            info.damaged.append(Fault(f"and {len(damaged) - _MOST_DAMAGED} more damaged records"))
        return info


def _look(value: bytes, info: Info) -> None:
    try:
        datum = Datum.FromString(value)
    except DecodeError as error:
        raise DataError("is not a Datum") from error
    info.kinds[_kind(datum)] += 1
    info.labels[datum.label if datum.HasField("label") else None] += 1


def _kind(datum: Any) -> Kind:
    if datum.encoded:
        return _header(datum.data)
    shape = (datum.channels, datum.height, datum.width)
    how, count = ("raw uint8", len(datum.data)) if datum.data else ("float32", len(datum.float_data))
    if min(shape) < 1 or count != shape[0] * shape[1] * shape[2]:
        raise DataError(f"says {'×'.join(map(str, shape))}, but holds {count} values")
    return how, shape


def _header(data: bytes) -> Kind:
    from PIL import Image

    try:
        with Image.open(BytesIO(data)) as image:
            return f"encoded {image.format}", (_PILLOW_CHANNELS.get(image.mode, 3), image.height, image.width)
    except Exception as error:  # whatever a damaged file leads Pillow's readers to
        raise DataError("is said to be an encoded image, but is in no format that can be decoded") from error


def _bytes_of(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def write_first(
    path: Path, picture: Path, count: int = 64, backend: str | None = None, rgb: bool = False
) -> tuple[float, float]:
    """Draw the first records of a database as a grid, the label under each; see :func:`write_grid`.

    Returns:
        The least and the greatest value, which images that are not of uint8 are scaled by.

    Raises:
        DataError: it cannot be read, one of them is damaged, or the picture's format is unknown.
        SnapshotError: the picture cannot be written.
    """
    with opened(path, backend) as database:
        count = min(count, database.count)
        records = Decoder()(database.reader.read(0, count), database.reader.key)
        shown = Shown.of(list(records.images))
        write_grid(picture, shown.images, [f"{label:g}" for label in records.labels], rgb)
        return shown.range
