"""LevelDB: a folder with a file called CURRENT.  Needs plyvel, which is the extra `leveldb`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ...errors import DataError, Fault
from ..values import Values
from . import Kind, Reader, Source, kinds, runs

_EVERY = 16
"""Of every so many records one key is remembered, to begin reading there."""
_LEAST_BUFFER = 4 << 20


def _lies_at(path: Path) -> bool:
    return (path / "CURRENT").is_file()


def _plyvel(path: Path) -> Any:
    try:
        import plyvel
    except ImportError as error:
        raise DataError(
            Fault(
                f'"{path}" is a LevelDB, and reading one needs the package plyvel',
                help="pip install 'caffelite[leveldb]'; or write the data set again as an LMDB",
                code="CL408",
            )
        ) from error
    return plyvel


class Leveldb(Source):
    """A LevelDB, read from a private copy: nothing in its folder changes, and nobody else's lock matters.

    A LevelDB does not know how many records it has: opening reads it once from end to end.

    Raises:
        DataError: plyvel is not installed, or the database is damaged or cannot be copied.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        plyvel = _plyvel(path)
        from ..leveldb_copy import PrivateCopy

        self.error = plyvel.Error
        self._copy = PrivateCopy(path)
        # Room for all that waits in logs, so that opening makes one table of it, which nothing then has to merge.
        buffer = max(_LEAST_BUFFER, 2 * self._copy.log_bytes)
        try:
            self._database = plyvel.DB(
                str(self._copy.folder), create_if_missing=False, paranoid_checks=True, write_buffer_size=buffer
            )
        except self.error as error:
            self._copy.close()
            raise self.fault(error) from error
        try:
            self._keys, self._count = self._survey()
        except self.error as error:
            self.close()
            raise self.fault(error) from error

    def _survey(self) -> tuple[list[bytes], int]:
        """Every `_EVERY`-th key, and how many there are."""
        keys, count = [], 0
        with self.iterate(include_value=False) as found:
            for key in found:
                if count % _EVERY == 0:
                    keys.append(key)
                count += 1
        return keys, count

    def fault(self, error: Exception) -> DataError:
        """What LevelDB said, about the source instead of the copy."""
        said = str(error).replace(str(self._copy.folder), str(self.path))
        message = f'the LevelDB "{self.path}" cannot be read: {said}'
        return DataError(Fault(message, help="copy it or build it again", code="CL403"))

    def iterate(self, start: int = 0, **options: Any) -> Any:
        """An iterator from the last remembered key at or before record `start`."""
        key = self._keys[start // _EVERY] if start else None
        return self._database.iterator(start=key, verify_checksums=True, fill_cache=False, **options)

    def __len__(self) -> int:
        return self._count

    def reader(self) -> LeveldbReader:
        return LeveldbReader(self)

    def close(self) -> None:
        self._database.close()
        self._copy.close()


class LeveldbReader(Reader):
    """An iterator that reads on from where it stands, and begins anew where it must jump."""

    def __init__(self, source: Leveldb) -> None:
        self._source = source
        self._iterator: Any = None
        self._next = -1

    def _from(self, start: int) -> Iterator[tuple[bytes, bytes]]:
        if start != self._next or self._iterator is None:
            self.close()
            self._iterator = self._source.iterate(start)
            next(islice(self._iterator, start % _EVERY, start % _EVERY), None)
        return self._iterator  # type: ignore[no-any-return]

    def _run(self, start: int, count: int) -> list[tuple[bytes, bytes]]:
        try:
            records = list(islice(self._from(start), count))
        except self._source.error as error:
            self.close()
            raise self._source.fault(error) from error
        self._next = start + len(records)
        if len(records) < count:
            end = self._next
            self.close()
            raise DataError(f'the LevelDB "{self._source.path}" ends after record {end}, before its count says')
        return records

    def take(self, rows: Sequence[int]) -> Values:
        return Values.of([value for _, value in self._records(rows)])

    def keys(self, rows: Sequence[int]) -> list[bytes]:
        return [key for key, _ in self._records(rows)]

    def _records(self, rows: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
        for start, count in runs(rows):
            yield from self._run(start, count)

    def close(self) -> None:
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None
        self._next = -1


kinds.register("LEVELDB")(Kind("a LevelDB", _lies_at, Leveldb))
