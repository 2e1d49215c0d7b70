"""LevelDB: a folder with tables, a manifest and the file CURRENT.  Needs plyvel, which is the extra `leveldb`.

Source: `src/caffe/util/db_leveldb.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError, Fault
from . import Record, Writer, as_os_error, kinds, shown

_BLOCK = 65536
"""Bytes, as in the original: data sets are read from end to end."""
_BUFFER = 32 << 20
"""Bytes.  Records that ascend become tables of this size, which nothing has to merge."""
_OPEN_FILES = 100


def _plyvel() -> Any:
    try:
        import plyvel
    except ImportError as error:
        raise DataError(
            Fault(
                "writing a LevelDB needs the package plyvel, which is not installed",
                help="pip install 'caffelite[leveldb]'; or write an LMDB",
            )
        ) from error
    return plyvel


@kinds.register("leveldb")
class LeveldbWriter(Writer):
    """A LevelDB.  Keys may come in any order; one that comes twice is an error, not a record lost."""

    file_names = r"CURRENT|LOCK|LOG(\.old)?|MANIFEST-\d+|\d+\.(ldb|sst|log|dbtmp)"

    @classmethod
    def check(cls) -> None:
        _plyvel()

    def __init__(self, folder: Path) -> None:
        plyvel = _plyvel()
        self._error = plyvel.Error
        self._greatest: bytes | None = None
        with as_os_error(self._error):
            self._database = plyvel.DB(
                str(folder),
                create_if_missing=True,
                error_if_exists=True,
                block_size=_BLOCK,
                write_buffer_size=_BUFFER,
                max_open_files=_OPEN_FILES,
            )

    def put(self, records: Sequence[Record]) -> None:
        with as_os_error(self._error):
            batch, here = self._database.write_batch(), set[bytes]()
            for key, value in records:
                if key in here or self._has(key):
                    raise DataError(f'two records have the key "{shown(key)}"')
                here.add(key)
                batch.put(key, value)
            batch.write()
            self._greatest = max(here) if self._greatest is None else max(self._greatest, *here)

    def _has(self, key: bytes) -> bool:
        """Whether an earlier portion had this key.  Where keys ascend, nothing is looked up."""
        if self._greatest is None or key > self._greatest:
            return False
        return self._database.get(key) is not None

    def finish(self) -> None:
        """Make tables of all that waits in the log: whoever opens the database need not."""
        with as_os_error(self._error):
            self._database.compact_range()

    def close(self) -> None:
        self._database.close()
