"""Writing labelled images as an LMDB that a Data layer, the original's or ours, reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray

from ..data.sources import acquire, release, resolve
from ..errors import DataError, Fault
from ..proto import Datum
from .whole import whole

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is done, and of how much (None: unknown)."""

Record = tuple[bytes, bytes]
"""A key and a value."""

_COMMIT_EVERY = 1000
_COMMIT_BYTES = 32 << 20
_FIRST_MAP = 1 << 20
_LONGEST_KEY = 511
_FILES = frozenset({"data.mdb", "lock.mdb"})


def write(
    path: Path,
    images: NDArray[np.uint8],
    labels: Sequence[int],
    force: bool = False,
    progress: Progress | None = None,
    key_format: bytes = b"%08d",
) -> None:
    """Write an LMDB of raw pixels: :func:`write_records` of images N×C×H×W and labels, N.

    Args:
        key_format: what makes a key of a record's number.
    """
    write_records(path, _raw(images, labels, key_format), len(images), force, progress)


def _raw(images: NDArray[np.uint8], labels: Sequence[int], key_format: bytes) -> Iterator[Record]:
    channels, height, width = images.shape[1:]
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        datum = Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=int(label))
        yield key_format % index, datum.SerializeToString()


def write_records(
    path: Path,
    records: Iterable[Record],
    total: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write an LMDB of these records, whose keys ascend; nothing is there under its name until it is whole.

    Args:
        records: what they raise leaves `path` as it was.
        total: how many there will be, for `progress`.
        force: replace a database that lies at `path`.

    Returns:
        How many there were.

    Raises:
        DataError: something lies at `path` (with `force`: something that is not a database), or it cannot be written.
    """
    path = path.absolute()
    refuse_to_overwrite(path, force)
    with whole(path) as unfinished:
        try:
            unfinished.mkdir()
            return _fill(unfinished, records, lambda done: progress(path.name, done, total) if progress else None)
        except (OSError, lmdb.Error) as error:
            raise DataError(f'writing "{path}" failed: {error}') from error


def _fill(folder: Path, records: Iterable[Record], written: Callable[[int], None]) -> int:
    environment = lmdb.open(str(folder), map_size=_FIRST_MAP, lock=False, sync=False)
    done = 0
    try:
        for part in _parts(records):
            _put(environment, part)
            done += len(part)
            written(done)
        environment.sync(True)
    finally:
        environment.close()
    return done


def _parts(records: Iterable[Record]) -> Iterator[list[Record]]:
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


def _put(environment: Any, records: Sequence[Record]) -> None:
    """Commit the records; where the map is full, with a map twice as large."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in records:
                    _put_one(transaction, key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


def _put_one(transaction: Any, key: bytes, value: bytes) -> None:
    if len(key) > _LONGEST_KEY:
        text = key.decode("utf-8", "backslashreplace")
        raise DataError(f'keys of an LMDB have at most {_LONGEST_KEY} bytes, "{text}" has {len(key)}')
    if not transaction.put(key, value, append=True):
        raise DataError(f'the keys must ascend; "{key.decode("utf-8", "backslashreplace")}" does not follow the last')


def refuse_to_overwrite(path: Path, force: bool) -> None:
    """Raise DataError where writing to `path` would destroy something it should not."""
    if not path.exists():
        return
    if path.is_dir() and {file.name for file in path.iterdir()} <= _FILES:
        if force or not any(path.iterdir()):
            return
        raise DataError(Fault(f'"{path}" exists and holds {count_in(path)} records', help="--force builds it anew"))
    raise DataError(Fault(f'"{path}" exists and is not an LMDB; it is left alone', help="name another folder"))


def count_in(path: Path) -> int:
    """How many records the LMDB at `path` holds; 0 where there is none that can be opened."""
    try:
        source = acquire(path, resolve(path, "LMDB"))
    except DataError:
        return 0
    try:
        return len(source)
    finally:
        release(source)
