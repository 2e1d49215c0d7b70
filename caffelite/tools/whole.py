"""Files and folders that bear their name only when they are whole."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import DataError, Fault

_ABANDONED_AFTER = 3600.0
"""Seconds without a change after which what lies half made is nobody's work any more."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place to make what is to be called `path`, a file or a folder.

    When the block ends well, what was made there takes the name `path`, and the place of what had it until then.
    Whatever interrupts it, nothing half made lies under that name.

    Raises:
        DataError: the folder of `path` cannot be written to.
    """
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        workshop = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise DataError(f'cannot write to "{path.parent}": {error.strerror}') from error
    try:
        yield workshop / path.name
        _rename(workshop / path.name, path, workshop / "before")
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


@contextmanager
def writing(path: Path, unfinished: Path) -> Iterator[None]:
    """Raise DataError, about `path`, where the disk fails what is made at `unfinished`, its place until it is whole."""
    try:
        yield
    except OSError as error:
        said = (os.strerror(error.errno) if error.errno else str(error)).replace(str(unfinished), str(path))
        raise DataError(Fault(f'writing "{path}" failed: {said}', help="is there room on the disk?")) from error


def check_place(path: Path, force: bool, ours: bool, called: str) -> None:
    """Raise DataError where writing to `path` would destroy something it should not.

    Args:
        ours: what lies there may be replaced if `force` is set; else nothing may.
        called: what `ours` would be, for messages.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not ours:
        raise DataError(Fault(f'"{path}" exists and is not {called}; it is left alone', help="give another name"))
    if not force:
        raise DataError(Fault(f'"{path}" exists', help="--force writes it anew"))


def _rename(made: Path, path: Path, aside: Path) -> None:
    """Give what was made its name.  A folder cannot be replaced in one step: the old one steps aside first."""
    if not path.is_dir():
        made.replace(path)
        return
    path.rename(aside)
    try:
        made.rename(path)
    except OSError:
        aside.rename(path)
        raise


def _sweep(path: Path) -> None:
    """Remove what was left half made beside `path` long ago."""
    for workshop in path.parent.glob(f".{path.name}.*.partial"):
        with suppress(FileNotFoundError):  # somebody else sweeps it, or has finished
            if time.time() - max(file.stat().st_mtime for file in (workshop, *workshop.rglob("*"))) > _ABANDONED_AFTER:
                shutil.rmtree(workshop, ignore_errors=True)
