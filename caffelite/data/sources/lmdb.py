"""LMDB: a folder with `data.mdb`, or that file by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import lmdb

from ...errors import DataError, Fault
from . import Kind, Reader, Source, kinds

_MAGIC = (0xBEEFC0DE).to_bytes(4, "little")
_MAGIC_AT = 16
"""The first page begins with a 16-byte page header; LMDB's magic number follows (on little-endian machines)."""


def _file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


def _lies_at(path: Path) -> bool:
    file = _file(path)
    if path.is_dir() or not file.is_file():
        return file.is_file()
    with file.open("rb") as stream:
        return stream.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC


class Lmdb(Source):
    """An LMDB opened read-only and without a lock file, so that a read-only medium and many processes will do."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._environment = lmdb.open(
                str(path), subdir=path.is_dir(), readonly=True, lock=False, create=False, readahead=True
            )
        except lmdb.Error as error:
            raise DataError(self._fault_of_opening(error)) from error
        self._refuse_a_short_file()

    def _fault_of_opening(self, error: lmdb.Error) -> Fault:
        file = _file(self.path)
        if "already open" in str(error):
            return Fault(f'"{self.path}" is already open in this process by other code', help="close it there first")
        if not file.stat().st_size:
            return Fault(f'the LMDB "{self.path}" is empty: {file.name} has no bytes', help="build it again")
        return Fault(f'"{file}" cannot be opened as an LMDB: {error}', help="build it again, or check `source`")

    def _refuse_a_short_file(self) -> None:
        """Reading a page beyond the end of the file would kill the process."""
        pages = self._environment.info()["last_pgno"] + 1
        wanted, size = pages * self._environment.stat()["psize"], _file(self.path).stat().st_size
        if size < wanted:
            self._environment.close()
            raise DataError(
                Fault(
                    f'the LMDB "{self.path}" is cut short: {size} bytes of {wanted}',
                    help="copy it again, or build it again",
                )
            )

    def __len__(self) -> int:
        return int(self._environment.stat()["entries"])

    def reader(self) -> LmdbReader:
        return LmdbReader(self._environment, self.path)

    def close(self) -> None:
        self._environment.close()


class LmdbReader(Reader):
    """A cursor that reads on from where it stands, and walks where it must jump."""

    def __init__(self, environment: lmdb.Environment, path: Path) -> None:
        self._path = path
        self._transaction = environment.begin(buffers=False)
        self._cursor = self._transaction.cursor()
        self._values: Iterator[bytes] = iter(())
        self._next = -1

    def _walk_to(self, index: int) -> None:
        if not self._cursor.first():
            raise DataError(f'the LMDB "{self._path}" has no records')
        if index:
            deque(islice(self._cursor.iternext(keys=True, values=False), index), maxlen=0)
            self._cursor.next()

    def read(self, start: int, count: int) -> list[bytes]:
        try:
            if start != self._next:
                self._walk_to(start)
                self._values = self._cursor.iternext(keys=False, values=True)
            values = list(islice(self._values, count))
        except lmdb.Error as error:
            self._next = -1
            raise self._damaged(f"reading record {start} failed: {error}") from error
        if len(values) < count:
            self._next = -1
            raise self._damaged(f"it ends after record {start + len(values)}, before its count says")
        self._next = start + count
        return values

    def _damaged(self, what: str) -> DataError:
        return DataError(Fault(f'the LMDB "{self._path}" is damaged: {what}', help="copy it again, or build it again"))

    def key(self, index: int) -> str:
        self._next = -1
        try:
            self._walk_to(index)
        except lmdb.Error as error:
            raise self._damaged(f"reading record {index} failed: {error}") from error
        return self._cursor.key().decode("utf-8", "backslashreplace")

    def close(self) -> None:
        self._values = iter(())
        self._transaction.abort()


kinds.register("LMDB")(Kind("an LMDB", _lies_at, Lmdb))
