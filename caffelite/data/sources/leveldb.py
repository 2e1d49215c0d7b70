"""LevelDB: a folder with a file called CURRENT.  It is recognised, so that who names one is told what to do."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from ...errors import DataError, Fault
from . import Kind, kinds


def _lies_at(path: Path) -> bool:
    return (path / "CURRENT").is_file()


def _refuse(path: Path) -> NoReturn:
    raise DataError(
        Fault(
            f'"{path}" is a LevelDB, which this version does not read yet',
            help="write the data set again as an LMDB (the original's converters: --backend=lmdb), name that as "
            "source, and say backend: LMDB",
        )
    )


kinds.register("LEVELDB")(Kind("a LevelDB", _lies_at, _refuse))
