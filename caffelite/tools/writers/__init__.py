"""Databases of labelled images that a Data layer, the original's or ours, reads: one file per kind of database.

Nothing lies under a database's name until it is whole.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...data.sources import acquire, release, resolve
from ...data.sources import kinds as sources
from ...errors import DataError, Fault
from ...proto import Datum
from ...registry import Registry
from ..progress import Progress
from ..whole import whole, writing

Record = tuple[bytes, bytes]
"""A key and a value."""

Put = Callable[[Sequence[Record]], None]
"""Adds records, all at once."""

_FLOAT = np.dtype([("tag", np.uint8), ("value", "<f4")])
"""An element of Datum.float_data as it is written: field 6, 32 bits."""
_FLOAT_TAG = 6 << 3 | 5

_COMMIT_EVERY = 1000
_COMMIT_BYTES = 32 << 20


class Writer(ABC):
    """A new database in an empty folder.

    Its methods, the constructor included, raise OSError where the disk or the library fails, and DataError where a
    record cannot be kept.
    """

    file_names: ClassVar[str]
    """A regular expression: what the files of such a database are called."""

    @classmethod
    @abstractmethod
    def check(cls) -> None:
        """Raise DataError where the library that writes these databases is not installed."""

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    @abstractmethod
    def put(self, records: Sequence[Record]) -> None:
        """Add these records at once."""

    @abstractmethod
    def finish(self) -> None:
        """See to it that all records are on the disk."""

    @abstractmethod
    def close(self) -> None:
        """Close the database, finished or not."""


kinds: Registry[type[Writer]] = Registry("database backend", "caffelite.tools.writers")


def write_images(
    path: Path,
    images: NDArray[np.uint8],
    labels: Sequence[int],
    force: bool = False,
    progress: Progress | None = None,
    *,
    key_format: bytes = b"%08d",
    backend: str = "lmdb",
) -> None:
    """Write a database of raw pixels: :func:`write_records` of images N×C×H×W and labels, N.

    Args:
        key_format: what makes a key of a record's number.
    """
    write_records(path, _raw(images, labels, key_format), len(images), force, progress, backend)


def _raw(images: NDArray[np.uint8], labels: Sequence[int], key_format: bytes) -> Iterator[Record]:
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield key_format % index, datum_value(image, int(label))


def datum_value(image: NDArray[Any], label: int | None) -> bytes:
    """The value of a record: an image, C×H×W, as bytes if it is of uint8 and else as floats, with its label (None: it
    has none)."""
    channels, height, width = image.shape
    datum = Datum(channels=channels, height=height, width=width, label=label)
    if image.dtype == np.uint8:
        datum.data = image.tobytes()
        return datum.SerializeToString()
    floats = np.empty(image.size, _FLOAT)  # protobuf takes thirty times as long
    floats["tag"], floats["value"] = _FLOAT_TAG, image.ravel()
    return datum.SerializeToString() + floats.tobytes()


def write_records(
    path: Path,
    records: Iterable[Record],
    total: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    backend: str = "lmdb",
) -> int:
    """Write a database of these records; nothing is there under its name until it is whole.

    Args:
        records: what they raise leaves `path` as it was.  The keys of an LMDB must ascend.
        total: how many there will be, for `progress`.
        force: replace a database that lies at `path`.
        backend: one of :data:`kinds`.

    Returns:
        How many there were.

    Raises:
        DataError: as :func:`check_target`; two records have one key, or one cannot be kept; or writing failed.
    """
    path = path.absolute()
    done = 0
    with new_database(path, force, backend) as put:
        for part in portions(records):
            put(part)
            done += len(part)
            if progress:
                progress(path.name, done, total)
    return done


@contextmanager
def new_database(path: Path, force: bool = False, backend: str = "lmdb") -> Iterator[Put]:
    """A database in the making.  When the block ends well it takes its name; until then, and for good where the block
    fails, `path` stays as it was.

    Raises:
        DataError: as :func:`write_records`; in the block, too.
    """
    check_target(path, backend, force)
    path = path.absolute()
    with whole(path) as unfinished:
        with writing(path, unfinished):
            unfinished.mkdir()
            writer = kinds[backend](unfinished)

        def put(records: Sequence[Record]) -> None:
            with writing(path, unfinished):
                writer.put(records)

        with closing(writer):
            yield put
            with writing(path, unfinished):
                writer.finish()


@contextmanager
def as_os_error(kind: type[Exception]) -> Iterator[None]:
    """What a library raises of its own, as an OSError of the same words."""
    try:
        yield
    except kind as error:
        said = error.args[0] if error.args else kind.__name__  # plyvel gives bytes
        raise OSError(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from error


def portions(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in portions, each to be committed at once."""
    part: list[Record] = []
    size = 0
    for record in records:
        part.append(record)
        size += len(record[1])
        if len(part) == _COMMIT_EVERY or size >= _COMMIT_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def shown(key: bytes) -> str:
    """A key for messages."""
    return key.decode("utf-8", "backslashreplace")


def check_target(path: Path, backend: str, force: bool) -> None:
    """See that a database of this kind can be written to `path`, and destroys nothing.

    Raises:
        DataError: its library is not installed; a database lies there (unless `force`), or something that is none.
    """
    kinds[backend].check()
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    there = _kind_at(path)
    if there is None:
        what = "exists and is not a folder with a database and nothing else; it is left alone"
        raise DataError(Fault(f'"{path}" {what}', help="give another name"))
    if not force:
        raise DataError(Fault(f'"{path}" exists and is {sources[there].called}', help="--force writes it anew"))


def _kind_at(path: Path) -> str | None:
    """The kind of the database at `path`, if it is a folder that holds nothing else."""
    names = [file.name for file in path.iterdir()] if path.is_dir() else []
    for kind in kinds:
        alone = all(re.fullmatch(kinds[kind].file_names, name) for name in names)
        if alone and sources[kind.upper()].lies_at(path):
            return kind.upper()
    return None


def is_kept(path: Path, backend: str, records: int | None, force: bool) -> bool:
    """Whether the database at `path` is whole and stays as it is; otherwise it is to be written.

    Args:
        records: how many it must have (None: any number).

    Raises:
        DataError: as :func:`check_target`, or there are more or fewer records.
    """
    found = 0 if force else count_in(path, backend)
    if found and records in (None, found):
        return True
    if found:
        message = f'"{path}" exists and holds {found} records instead of {records}'
        raise DataError(Fault(message, help="--force writes it anew"))
    check_target(path, backend, force)
    return False


def count_in(path: Path, backend: str) -> int:
    """How many records the database of this kind at `path` holds; 0 where there is none that can be opened."""
    try:
        source = acquire(path, resolve(path, backend.upper()))
    except DataError:
        return 0
    try:
        return len(source)
    finally:
        release(source)
