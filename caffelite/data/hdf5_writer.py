"""An HDF5 file that grows row by row, and bears its name only when it is whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import DataError, Fault
from .telling import exists

SUFFIX = ".unfinished"
CHUNK_BYTES = 1 << 20
"""About what lies in one piece in the file."""


class Hdf5Writer:
    """Writes data sets, all of them with as many rows, block after block.

    While it is written the file is called "<path>.unfinished"; `close` gives it its name.  What a run that was killed
    leaves is thus no file of that name; the next run to the same path overwrites it.

    Args:
        path: of the file; one that is there is replaced.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        # The working directory may be another one when the file is closed.
        self._target = Path(os.path.realpath(path))
        self._unfinished = Path(f"{self._target}{SUFFIX}")
        self._disk: _Disk | None = None
        self._file: Any = None

    def append(self, blocks: Mapping[str, np.ndarray]) -> None:
        """Add rows to every data set; the first call makes the data sets.

        Raises:
            DataError: the file cannot be written, or rows have another shape than the earlier ones.  What was written
                before is given up then.
        """
        try:
            if self._disk is None:
                self._disk = _Disk(self._unfinished)
                self._file = h5py.File(self._disk, "w")
            for name, rows in blocks.items():
                self._extend(name, rows)
            self._file.flush()
            self._disk.check()
        except OSError as error:
            raise self._given_up(error) from error

    def _extend(self, name: str, rows: np.ndarray) -> None:
        if name not in self._file:
            self._file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]), chunks=_chunks(rows))
            return
        dataset = self._file[name]
        before, now = ("×".join(map(str, shape[1:])) for shape in (dataset.shape, rows.shape))
        if before != now:
            self.discard()
            raise DataError(f'"{self.path}" cannot take rows of "{name}" of size {now}: those before are {before}')
        start = len(dataset)
        dataset.resize(start + len(rows), axis=0)
        dataset[start:] = rows

    def close(self) -> None:
        """Finish the file, and give it its name.  May be called twice, and without anything written does nothing.

        Raises:
            DataError: the file cannot be finished.
        """
        if self._disk is None:
            return
        try:
            self._file.close()
            self._disk.finish()
            os.replace(self._unfinished, self._target)
        except OSError as error:
            raise self._given_up(error) from error
        self._disk = self._file = None

    def discard(self) -> None:
        """Leave nothing of what was written, in place of `close`."""
        if self._disk is not None:
            if self._file is not None:
                self._file.close()
            self._disk.discard()
        self._disk = self._file = None

    def _given_up(self, error: OSError) -> DataError:
        self.discard()
        help = None if exists(self._target.parent) else f"create the folder {self._target.parent} first"
        return DataError(Fault(f'"{self.path}" cannot be written: {error.strerror or error}', help=help))


def _chunks(rows: np.ndarray) -> tuple[int, ...]:
    """Chunks that hold whole rows: those of the first block, or as many as make CHUNK_BYTES."""
    row_bytes = max(1, prod(rows.shape[1:]) * rows.itemsize)
    count = max(1, min(len(rows), CHUNK_BYTES // row_bytes))
    return (count, *(max(1, size) for size in rows.shape[1:]))


class _Disk:
    """The file that the HDF5 library writes to.

    The library does not survive a full disk: it loses data without a word, and crashes when it closes the file.  So it
    is never told: the first error is kept for `check`, and what is written afterwards is swallowed.

    Raises:
        OSError: the file cannot be made, or somebody else is writing it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._error: OSError | None = None
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # not truncated before it is locked
        self._file = open(handle, "r+b", buffering=0)  # noqa: SIM115  `finish` and `discard` close it
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise OSError(error.errno, "somebody else is writing it") from error
        except OSError:
            pass  # a file system without locks
        self._file.truncate(0)

    # -- what h5py asks of a file -------------------------------------------------------------------------------

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int) -> bytes:
        return self._file.read(size) or b""

    def readinto(self, buffer: memoryview) -> int:
        found = self._file.readinto(buffer) or 0
        if self._error is not None:  # the rest was swallowed
            buffer[found:] = bytes(len(buffer) - found)
        return len(buffer) if self._error is not None else found

    def write(self, data: memoryview) -> int:
        left = memoryview(data).cast("B")
        while len(left) and self._error is None:
            try:
                left = left[self._file.write(left) or 0 :]
            except OSError as error:
                self._error = error
        return len(data)

    def truncate(self, size: int) -> int:
        if self._error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self._error = error
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    # -- what its writer asks -----------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise the first error there was."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Bring the file to the disk."""
        self.check()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)
