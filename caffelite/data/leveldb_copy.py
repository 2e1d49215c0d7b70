"""A private copy of a LevelDB, so that reading changes nothing and waits for nobody.

LevelDB knows no reading: whoever opens a database locks it, replays its log into a new table and writes a new manifest.
All of that may happen in a temporary folder instead.  There the small files that change (CURRENT, the manifest, the
logs) are copies, and the tables, which are written once and never again, are symbolic links: they cost nothing
whatever their size, work from read-only and network folders, and leave the originals' link count alone.  Only tables
that the manifest lists are linked; any other bears a number that LevelDB may give to a table of its own, which it
would then write through the link.

Formats: `doc/log_format.md` of LevelDB, `db/version_edit.cc`.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.util import Finalize
from pathlib import Path

from ..errors import DataError, Fault

_PREFIX = "caffelite-leveldb-"
_BLOCK, _HEADER = 32768, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_COMPARATOR, _COMPACT, _DELETED, _NEW = 1, 5, 6, 7
_NUMBERS = (2, 3, 4, 9)
"""Tags of a version edit that are followed by one number: logs, next file, last sequence."""
_TRIES = 5
_ABANDONED_AFTER = 3600.0
"""Seconds.  A folder this old whose database nobody holds was left behind by a process that was killed."""

_COPY_AGAIN = "copy the whole folder again, or build it again"

_ours: set[Path] = set()
"""The copies of this process.  Looking whether one is locked would take the lock away (POSIX record locks)."""


def _fragments(log: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, begin and end of every fragment of a file in LevelDB's log format; the last may end beyond the file."""
    at = 0
    while at < len(log):
        left = _BLOCK - at % _BLOCK
        if left >= _HEADER:
            kind = log[at + 6] if at + 6 < len(log) else _FIRST
            end = at + _HEADER + int.from_bytes(log[at + 4 : at + 6], "little")
            yield kind, at + _HEADER, end
            at = end
        else:
            at += left


def _records(log: bytes) -> Iterator[bytes]:
    """The whole records of a file in LevelDB's log format."""
    record = b""
    for kind, begin, end in _fragments(log):
        record = (b"" if kind in (_FULL, _FIRST) else record) + log[begin:end]
        if kind in (_FULL, _LAST) and end <= len(log):
            yield record


def is_cut_off(log: bytes) -> bool:
    """Whether a file in LevelDB's log format ends inside a record.  (LevelDB itself drops that record in silence.)"""
    kind, _, end = next(iter(deque(_fragments(log), maxlen=1)), (_FULL, 0, 0))
    return end > len(log) or kind in (_FIRST, _MIDDLE)


class _Edit:
    """A cursor in one version edit."""

    def __init__(self, record: bytes) -> None:
        self._record, self._at = record, 0

    def __bool__(self) -> bool:
        return self._at < len(self._record)

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self._record[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def skip_bytes(self) -> None:
        length = self.number()
        self._at += length


def live_tables(manifest: bytes) -> list[int]:
    """The numbers of the tables that make up the database.

    Raises:
        ValueError: this is no manifest of a LevelDB.
    """
    live: set[tuple[int, int]] = set()
    try:
        for record in _records(manifest):
            edit = _Edit(record)
            while edit:
                _apply(edit, live)
    except IndexError as error:
        raise ValueError("an entry is cut short") from error
    return sorted({number for _, number in live})


def _apply(edit: _Edit, live: set[tuple[int, int]]) -> None:
    """Read one field of a version edit; `live` holds (level, number) of each table."""
    tag = edit.number()
    if tag in _NUMBERS:
        edit.number()
    elif tag == _COMPARATOR:
        edit.skip_bytes()
    elif tag == _COMPACT:
        edit.number()
        edit.skip_bytes()
    elif tag == _DELETED:
        live.discard((edit.number(), edit.number()))
    elif tag == _NEW:
        live.add((edit.number(), edit.number()))
        edit.number()
        edit.skip_bytes()
        edit.skip_bytes()
    else:
        raise ValueError(f"unknown entry {tag}")


class PrivateCopy:
    """A temporary folder that is a LevelDB with the records of the one at `source`.

    It is removed by :meth:`close`, at the latest when the process ends; what a killed process left behind, the next
    copy removes.

    Attributes:
        folder: the copy.
        log_bytes: how much of it waits in logs.

    Raises:
        DataError: files are missing or damaged, the source is being rewritten, or there is no room for the copy.
    """

    def __init__(self, source: Path) -> None:
        _remove_abandoned()
        self._shown, self._source = source, source.resolve()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.log_bytes = 0
        _ours.add(self.folder)
        # Unlike weakref.finalize it also runs at the end of a multiprocessing worker, and never in a forked child.
        self._finalizer = Finalize(self, _remove, (self.folder,), exitpriority=0)
        try:
            self._fill()
        except OSError as error:
            self.close()
            help = "the copy is made in the temporary folder, which the environment variable TMPDIR moves"
            raise DataError(Fault(f'no private copy of "{source}" can be made: {error}', help=help)) from error
        except DataError:
            self.close()
            raise

    def _fill(self) -> None:
        for _ in range(_TRIES):
            state = self._state()
            problem = self._take(*state)
            if self._state() == state:
                if problem is not None:
                    raise DataError(replace(problem, code="CL403"))
                return
            for file in self.folder.iterdir():
                file.unlink()
        message = f'"{self._shown}" changes while it is being read'
        raise DataError(Fault(message, help="wait until it is written", code="CL403"))

    def _state(self) -> tuple[str, bytes, dict[str, int]]:
        """The name of the manifest, its content, and the logs with their sizes."""
        current = (self._source / "CURRENT").read_text(encoding="utf-8", errors="replace").rstrip("\n")
        if not re.fullmatch(r"MANIFEST-\d+", current):
            raise DataError(f'"{self._shown}" is damaged: its file CURRENT does not name a manifest', code="CL403")
        manifest, logs = self._source / current, self._source.glob("*.log")
        content = manifest.read_bytes() if manifest.exists() else b""
        return current, content, {log.name: log.stat().st_size for log in logs}

    def _take(self, current: str, manifest: bytes, logs: dict[str, int]) -> Fault | None:
        """Copy and link; what is missing or damaged, if anything."""
        if not manifest:
            return Fault(f'"{self._shown}" is incomplete: {current} is not there', help=_COPY_AGAIN)
        try:
            tables = live_tables(manifest)
        except ValueError as error:
            return Fault(f'"{self._shown}" is damaged: {current}: {error}', help=_COPY_AGAIN)
        (self.folder / "CURRENT").write_text(current + "\n", encoding="utf-8")
        (self.folder / current).write_bytes(manifest)
        for log in logs:
            shutil.copyfile(self._source / log, self.folder / log)
        self.log_bytes = sum(logs.values())
        cut_off = [name for name in (current, *logs) if is_cut_off((self.folder / name).read_bytes())]
        missing = [f"{table:06}.ldb" for table in tables if not self._link(table)]
        if not cut_off and not missing:
            return None
        what = f"{cut_off[0]} is cut short" if cut_off else f"of {len(tables)} tables {_some(missing)} are not there"
        return Fault(f'"{self._shown}" is incomplete: {what}', help=_COPY_AGAIN)

    def _link(self, table: int) -> bool:
        """Link to a table of this number, if it is there, under either name (versions before 1.14 wrote .sst)."""
        for name in (f"{table:06}.ldb", f"{table:06}.sst"):
            if (self._source / name).exists():
                (self.folder / name).symlink_to(self._source / name)
                return True
        return False

    def close(self) -> None:
        """Remove the folder.  May be called twice."""
        self._finalizer()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _ours.discard(folder)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        try:
            old = time.time() - folder.stat().st_mtime > _ABANDONED_AFTER
            if old and folder not in _ours and not _held(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # somebody else's, or gone meanwhile


def _held(folder: Path) -> bool:
    """Whether a process has this database open: LevelDB locks its file LOCK."""
    try:
        with (folder / "LOCK").open("r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
