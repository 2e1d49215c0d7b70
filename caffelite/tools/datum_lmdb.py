"""Writing labelled images as an LMDB that a Data layer, the original's or ours, reads.

A database is written under another name beside the target and renamed when it is whole, so that whatever interrupts
it, nothing half made lies under the target's name.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray

from ..data.sources import acquire, release, resolve
from ..errors import DataError, Fault
from ..proto import Datum

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it is done, and of how much (None: unknown)."""

_COMMIT_EVERY = 1000
_FIRST_MAP = 1 << 20
_ABANDONED_AFTER = 3600.0
_FILES = frozenset({"data.mdb", "lock.mdb"})


def _records(images: NDArray[np.uint8], labels: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
    channels, height, width = images.shape[1:]
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        datum = Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=int(label))
        yield b"%08d" % index, datum.SerializeToString()


def _put(environment: Any, records: Sequence[tuple[bytes, bytes]]) -> None:
    """Commit the records; where the map is full, with a map twice as large."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in records:
                    transaction.put(key, value, append=True)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


def write(
    path: Path, images: NDArray[np.uint8], labels: Sequence[int], force: bool = False, progress: Progress | None = None
) -> None:
    """Write an LMDB: keys `%08d`, values Datum with raw pixels.

    Args:
        images: N×C×H×W.
        labels: N.
        force: replace a database that lies at `path`.

    Raises:
        DataError: something lies at `path` (with `force`: something that is not a database), or it cannot be written.
    """
    path = path.absolute()
    refuse_to_overwrite(path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise DataError(f'cannot write to "{path.parent}": {error.strerror}') from error
    try:
        _fill(partial, images, labels, lambda done: progress(path.name, done, len(images)) if progress else None)
        partial.chmod(0o755)
        _rename(partial, path)
    except (OSError, lmdb.Error) as error:
        raise DataError(f'writing "{path}" failed: {error}') from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(folder: Path, images: NDArray[np.uint8], labels: Sequence[int], written: Callable[[int], None]) -> None:
    environment = lmdb.open(str(folder), map_size=_FIRST_MAP, lock=False, sync=False)
    try:
        records, done = _records(images, labels), 0
        while part := list(islice(records, _COMMIT_EVERY)):
            _put(environment, part)
            done += len(part)
            written(done)
        environment.sync(True)
    finally:
        environment.close()


def _rename(partial: Path, path: Path) -> None:
    """Give the whole database its name; one that lies there steps aside first and is then removed."""
    if not path.exists():
        partial.rename(path)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    path.rename(aside / path.name)
    partial.rename(path)
    shutil.rmtree(aside)


def _sweep(path: Path) -> None:
    """Remove what conversions that were killed long ago left beside `path`."""
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        if time.time() - max(file.stat().st_mtime for file in (partial, *partial.rglob("*"))) > _ABANDONED_AFTER:
            shutil.rmtree(partial, ignore_errors=True)


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
