"""Databases read from their first record to their last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..data.sources import Reader, Source, acquire, kinds, release, resolve
from ..errors import DataError, Fault

MOST_AT_ONCE = 256
_BYTES_AT_ONCE = 32 << 20


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: its path, what kind it is ("LMDB", "LEVELDB"), and how many records it has (at least one)."""

    path: Path
    backend: str
    count: int
    source: Source
    reader: Reader

    def keys_from(self, start: int) -> Callable[[int], str]:
        """The keys of records start, start + 1, …, for messages."""
        return lambda index: self.reader.key(start + index)

    def values(self) -> Iterator[tuple[int, list[bytes]]]:
        """All values in portions, each with the number of its first record."""
        at_once, start = 1, 0
        while start < self.count:
            values = self.reader.read(start, min(at_once, self.count - start))
            yield start, values
            start += len(values)
            size = max(map(len, values))
            at_once = max(1, min(MOST_AT_ONCE, _BYTES_AT_ONCE // max(1, size)))

    def portions(self) -> Iterator[tuple[int, list[bytes], list[bytes]]]:
        """All records in portions: the number of the first, their keys and values, byte for byte what they are."""
        with closing(self.source.reader()) as reader:  # of its own: each goes on from where it stands
            for start, values in self.values():
                yield start, reader.keys(range(start, start + len(values))), values

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """All records, keys and values, in the order of the keys."""
        for _, keys, values in self.portions():
            yield from zip(keys, values, strict=True)


@contextmanager
def opened(path: Path, backend: str | None = None) -> Iterator[Database]:
    """The database at `path`, for one reader.

    Args:
        backend: "lmdb" or "leveldb"; None: found by looking.

    Raises:
        DataError: there is none, it is of another kind, it cannot be opened, or it has no records.
    """
    kind = resolve(path, None)
    if backend is not None and backend.upper() != kind:
        help = "leave --backend out: then it is found by looking"
        raise DataError(Fault(f'"{path}" is {kinds[kind].called}, not {kinds[backend.upper()].called}', help=help))
    source = acquire(path, kind)
    try:
        if not len(source):
            raise DataError(f'the database "{path}" has no records')
        reader = source.reader()
        try:
            yield Database(path, kind, len(source), source, reader)
        finally:
            reader.close()
    finally:
        release(source)
