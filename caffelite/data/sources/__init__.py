"""Where records come from: one file per kind of database.

A source is opened once a process and shared by everybody who reads it (LMDB refuses to be opened twice); each reader
has its own :class:`Reader`, a cursor.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, Fault
from ...registry import Registry
from ..telling import exists
from ..values import Values


class Reader(ABC):
    """One reader's cursor in a source.  To be used by one thread at a time."""

    @abstractmethod
    def take(self, rows: Sequence[int]) -> Values:
        """The values of these records, all of which must exist.

        Raises:
            DataError: the database cannot be read there.
        """

    @abstractmethod
    def keys(self, rows: Sequence[int]) -> list[bytes]:
        """The keys of these records; raises as :meth:`take`."""

    def read(self, start: int, count: int) -> list[bytes]:
        """The values of records start … start + count − 1; raises as :meth:`take`."""
        return list(self.take(range(start, start + count)))

    def key(self, index: int) -> str:
        """The key of a record, for messages."""
        return self.keys([index])[0].decode("utf-8", "backslashreplace")

    @abstractmethod
    def close(self) -> None:
        """Give the cursor back.  May be called twice."""


def runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Record numbers as runs of consecutive ones: where each begins, and how many it has."""
    if isinstance(rows, range) and rows.step == 1:
        yield rows.start, len(rows)
        return
    start = count = 0
    for row in rows:
        if count and row == start + count:
            count += 1
            continue
        if count:
            yield start, count
        start, count = row, 1
    if count:
        yield start, count


def identity(path: Path) -> tuple[int, int]:
    """What lies at `path`, by whatever name, until something else takes its place: its device and inode."""
    found = path.stat()
    return found.st_dev, found.st_ino


class Source(ABC):
    """An open database of records in the order of their keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = identity(path)

    @abstractmethod
    def __len__(self) -> int:
        """How many records there are."""

    @abstractmethod
    def reader(self) -> Reader:
        """A new cursor."""

    @abstractmethod
    def close(self) -> None:
        """Close the database itself."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of database: what it is called in a sentence, how it is recognised, and how it is opened."""

    called: str
    lies_at: Callable[[Path], bool]
    open: Callable[[Path], Source]


kinds: Registry[Kind] = Registry("database backend", "caffelite.data.sources")

_lock = threading.Lock()
_shared: dict[tuple[int, int], tuple[Source, int]] = {}


def resolve(path: Path, backend: str | None, help: str | None = None) -> str:
    """The backend to open `path` with: the one named, or where None is named, the one found by looking.

    Raises:
        DataError: nothing lies there, it cannot be read, or something else does (`help` says what to do about a missing
            one).
    """
    if not exists(path):
        raise DataError(Fault(f'no database at "{path}"', help=help, code="CL401"))
    try:
        found = next((name for name in kinds if kinds[name].lies_at(path)), None)
    except OSError as error:
        raise DataError(f'"{path}" cannot be read: {error.strerror}', code="CL401") from error
    if found is None:
        what = f"a folder without {_a_database()}" if path.is_dir() else f"a file that is not {_a_database()}"
        raise DataError(Fault(f'"{path}" is {what}', help=help, code="CL402"))
    if backend is not None and backend != found:
        raise DataError(
            Fault(
                f'backend is {backend}, but "{path}" is {kinds[found].called}',
                help=f"say backend: {found}, or leave backend out: then it is found by looking",
                code="CL402",
            )
        )
    return found


def _a_database() -> str:
    return " or ".join(kinds[name].called for name in sorted(kinds, reverse=True))


def acquire(path: Path, backend: str) -> Source:
    """The open source at `path`; everyone who acquires it must :func:`release` it.

    Raises:
        DataError: it cannot be opened.
    """
    with _lock:
        source, users = _shared.get(identity(path)) or (kinds[backend].open(path), 0)
        _shared[source.identity] = (source, users + 1)
        return source


def release(source: Source) -> None:
    """Give a source back; the last one to do so closes it."""
    with _lock:
        users = _shared[source.identity][1] - 1
        if users:
            _shared[source.identity] = (source, users)
        else:
            del _shared[source.identity]
            source.close()
