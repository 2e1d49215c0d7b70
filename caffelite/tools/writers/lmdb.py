"""LMDB: a folder with the file data.mdb, and checksums of its records beside it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb

from ...data.lmdb_process import CHECKSUMS, checksum, checksum_file
from ...errors import DataError
from . import Record, Writer, as_os_error, kinds, shown

_FIRST_MAP = 1 << 20
_LONGEST_KEY = 511


@kinds.register("lmdb")
class LmdbWriter(Writer):
    """An LMDB whose map grows with it.  Keys must ascend: records go to its end, which packs its pages full."""

    file_names = rf"(data|lock)\.mdb|{CHECKSUMS}"

    @classmethod
    def check(cls) -> None:
        """Nothing: lmdb comes with us."""

    def __init__(self, folder: Path) -> None:
        with as_os_error(lmdb.Error):
            self._environment = lmdb.open(str(folder), map_size=_FIRST_MAP, lock=False, sync=False, mode=0o664)
        self._folder = folder
        self._checksums = array("I")

    def put(self, records: Sequence[Record]) -> None:
        """Commit the records; where the map is full, with a map twice as large."""
        with as_os_error(lmdb.Error):
            while True:
                try:
                    with self._environment.begin(write=True) as transaction:
                        for key, value in records:
                            _put_one(transaction, key, value)
                    self._checksums.extend(checksum(key, value) for key, value in records)
                    return
                except lmdb.MapFullError:
                    self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def finish(self) -> None:
        with as_os_error(lmdb.Error):
            self._environment.sync(True)
            last = int(self._environment.info()["last_txnid"])
        (self._folder / CHECKSUMS).write_bytes(checksum_file(self._checksums, last))

    def close(self) -> None:
        self._environment.close()


def _put_one(transaction: Any, key: bytes, value: bytes) -> None:
    if not 1 <= len(key) <= _LONGEST_KEY:
        raise DataError(
            f'keys of an LMDB have 1 to {_LONGEST_KEY} bytes, "{shown(key)}" has {len(key)}',
            help="a LevelDB has keys of any length",
        )
    if not transaction.put(key, value, append=True):
        raise DataError(f'the keys of an LMDB must ascend; "{shown(key)}" does not follow the last')
