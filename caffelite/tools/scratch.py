"""Records put aside, to be fetched in another order."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from ..errors import DataError, Fault

_IN_MEMORY = 256 << 20
"""Bytes above which they lie in a file."""


class Scratch:
    """Pieces of bytes by number: in memory, or where that would be too much in a file that has no name and ends with
    this object or the process."""

    def __init__(self, folder: Path) -> None:
        """`folder`: on whose disk there is room for them."""
        self._folder = folder
        self._file: Any = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115
        self._ends = array("Q", [0])

    def put(self, piece: bytes) -> None:
        """Put a piece aside; the first is number 0.

        Raises:
            DataError: the disk is full.
        """
        with self._told():
            self._file.seek(self._ends[-1])
            self._file.write(piece)
        self._ends.append(self._ends[-1] + len(piece))

    def __getitem__(self, number: int) -> bytes:
        with self._told():
            self._file.seek(self._ends[number])
            piece: bytes = self._file.read(self._ends[number + 1] - self._ends[number])
            return piece

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = os.strerror(error.errno) if error.errno else str(error)
            help = "is there room on the disk?"
            raise DataError(Fault(f'a temporary file in "{self._folder}" failed: {said}', help=help)) from error

    def close(self) -> None:
        """Forget them."""
        self._file.close()
