"""Files that are either the old whole one or the new whole one, whenever the writer dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..errors import Fault, Place, SnapshotError

SUFFIX = ".unfinished"
_ITERATION = re.compile(r"_iter_\d+.*")


def write_atomic(path: str | os.PathLike[str], writer: Callable[[BinaryIO], object]) -> None:
    """Let `writer` fill a file beside `path`, bring it to the disk, and only then give it its name.

    The file in the making is called ".<name>.<random>.unfinished" and is locked by its writer.  What dead writers
    left behind of the same prefix (the name up to "_iter_<N>") is removed first.

    Raises:
        SnapshotError: the folder does not exist or the file cannot be written (no space, no permission).
    """
    target = Path(os.path.realpath(path))
    try:
        clean_up(target)
        file, unfinished = _create(target)
        try:
            with file:
                writer(file)
                file.flush()
                os.fsync(file.fileno())
                os.replace(unfinished, target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
    except OSError as error:
        help = None if target.parent.is_dir() else f"create the folder {target.parent} first"
        raise SnapshotError(Fault(f"cannot be written: {error.strerror or error}", Place(str(path)), help)) from error


def _create(target: Path) -> tuple[BinaryIO, Path]:
    while True:
        unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}{SUFFIX}")
        file = open(unfinished, "xb")  # noqa: SIM115  the caller closes it
        _lock(file, wait=True)
        # Before the lock was taken another writer's clean-up may have held the file for dead and removed it.
        if unfinished.exists():
            return file, unfinished
        file.close()


def _lock(file: BinaryIO, wait: bool) -> bool:
    """Mark the file as being written for as long as this process lives; false where somebody else holds it.

    On file systems without locks nobody can take one, so nothing is ever held for dead there."""
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def clean_up(target: Path) -> list[Path]:
    """Remove the unfinished files that dead writers left of the target's prefix; returns what was removed."""
    removed = []
    beginning = re.escape(_ITERATION.sub("", target.name))
    stray = re.compile(rf"\.{beginning}(_iter_\d+)?(\.[^/]*)?\.[0-9a-f]{{8}}{re.escape(SUFFIX)}")
    for path in target.parent.iterdir():
        # One that vanishes meanwhile was finished, or removed by somebody else.
        with contextlib.suppress(FileNotFoundError):
            if stray.fullmatch(path.name) and _is_dead(path):
                path.unlink()
                removed.append(path)
    return removed


def _is_dead(path: Path) -> bool:
    with open(path, "rb") as file:
        return _lock(file, wait=False)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
