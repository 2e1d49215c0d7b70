"""Databases, made and read by lmdb and plyvel alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import lmdb
import pytest

from caffelite.proto import Datum

Records = list[tuple[bytes, bytes]]


def contents(path: Path) -> Records:
    """Keys and values of an LMDB, or of a LevelDB, which opening changes."""
    if (path / "CURRENT").exists():
        plyvel = pytest.importorskip("plyvel")
        with plyvel.DB(str(path)) as database:
            return list(database)
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return list(transaction.cursor())


def write(path: Path, records: Iterable[tuple[bytes, bytes]]) -> Path:
    """An LMDB of these records."""
    with (
        lmdb.open(str(path), map_size=1 << 24, lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in records:
            transaction.put(key, value)
    return path


def write_datums(path: Path, *datums: Datum) -> Path:
    """An LMDB of these datums; keys are `%08d`."""
    return write(path, ((b"%08d" % index, datum.SerializeToString()) for index, datum in enumerate(datums)))
