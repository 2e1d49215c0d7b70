"""LMDB: a folder with `data.mdb`, or that file by itself.

Its library is run in a process of its own (see :mod:`..lmdb_process`), since a damaged database can kill the process
that reads it.
"""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from ...errors import DataError, Fault
from .. import lmdb_process
from ..lmdb_process import ANSWER, AT, COPYING, HEAD, REQUEST, RUN
from ..values import Values
from . import Kind, Reader, Source, kinds, runs

_MAGIC = (0xBEEFC0DE).to_bytes(4, "little")
_MAGIC_AT = 16
"""The first page begins with a 16-byte page header; LMDB's magic number follows (on little-endian machines)."""

_MEMORY = 1 << 20
_PATIENCE = 5.0
"""Seconds that the other process may take to end once it was told to."""

_OF_DAMAGE = ("SIGBUS", "SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL")
_BUILD_AGAIN = "copy it again, or build it again"


def _file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


def _lies_at(path: Path) -> bool:
    file = _file(path)
    if path.is_dir() or not file.is_file():
        return file.is_file()
    with file.open("rb") as stream:
        return stream.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC


class _Ended(Exception):
    """The other process is no more."""


class Lmdb(Source):
    """An LMDB opened read-only and without a lock file, so that a read-only medium and many processes will do."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not _file(path).stat().st_size:
            raise DataError(
                Fault(
                    f'the LMDB "{path}" is empty: {_file(path).name} has no bytes', help="build it again", code="CL403"
                )
            )
        self._lock = threading.Lock()
        self._readers = itertools.count()
        self._requests = itertools.count(1)
        self._shared = _memory_file()
        self._shared.truncate(_MEMORY)
        self._memory = mmap.mmap(self._shared.fileno(), _MEMORY)
        self._process = self._start()
        try:
            self._count = self._open()
        except BaseException:
            self.close()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        """The process.  It hears no Ctrl-C, being in a process group of its own, and ends when its input is closed."""
        descriptor = self._shared.fileno()
        form = "folder" if self.path.is_dir() else "file"
        # -S: the paths of this process are handed over, and looking for them again takes as long as all the rest.
        start = f"import sys; sys.path[:] = {list(map(str, sys.path))!r}; from runpy import run_path; "
        start += f"run_path({lmdb_process.__file__!r}, run_name='__main__')"
        command = [sys.executable, "-S", "-c", start, str(self.path.absolute()), form, str(descriptor), str(_MEMORY)]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where the library says which of its assertions failed
            bufsize=0,
            pass_fds=[descriptor],
            process_group=0,
        )

    def _open(self) -> int:
        try:
            return self._answer(0)[0]
        except _Ended as error:
            raise self.damaged(f"opening it ended the process that does ({self._end()})") from error
        except DataError as error:
            said = error.faults[0].message
            if not said.startswith("!"):
                raise self.damaged(said) from error
            what = said[1:].removeprefix(f"{self.path.absolute()}: ")
            help = "build it again, or check `source`"
            message = f'"{_file(self.path)}" cannot be opened as an LMDB: {what}'
            raise DataError(Fault(message, help=help, code="CL403")) from error

    # -- asking ---------------------------------------------------------------------------------------------------

    def ask(self, what: bytes, reader: int, rows: Sequence[int]) -> Values:
        """What the process answers; see :mod:`..lmdb_process`.

        Raises:
            DataError: it finds the database damaged, or it ended; names the record.
        """
        with self._lock:
            try:
                asked, serial = [RUN.pack(*run) for run in runs(rows)], next(self._requests)
                self._send(REQUEST.pack(what, serial, reader, len(asked)) + b"".join(asked))
                count, size = self._answer(serial)
            except _Ended:
                raise self._ended() from None
            except DataError as error:
                said = error.faults[0].message
                what_failed = f"{self._where()} failed: {said[1:]}" if said.startswith("!") else f"it {said}"
                raise self.damaged(f"is damaged: {what_failed}") from None
            start = HEAD + 8 * count
            if len(self._memory) < start + size:
                self._memory = mmap.mmap(self._shared.fileno(), 0)
            ends = list(accumulate(struct.unpack_from(f"<{count}Q", self._memory, HEAD)))
            return Values(self._memory[start : start + size], ends)

    def _send(self, request: bytes) -> None:
        assert self._process.stdin is not None
        try:
            rest = memoryview(request)
            while rest:
                rest = rest[os.write(self._process.stdin.fileno(), rest) :]
        except BrokenPipeError as error:
            raise _Ended from error
        except BaseException:  # Ctrl-C in the middle of a request
            self._process.kill()
            raise

    def _answer(self, serial: int) -> tuple[int, int]:
        """How many values it found, and of how many bytes.  Raises what it says is wrong, as a DataError."""
        assert self._process.stdout is not None
        answered = None
        while answered != serial:  # another number's answer is to a request that was broken off, by Ctrl-C
            head = os.read(self._process.stdout.fileno(), ANSWER.size)
            if len(head) < ANSWER.size:
                raise _Ended
            what, answered, count, size = ANSWER.unpack(head)
        if what == b"-":
            raise DataError(self._memory[HEAD : HEAD + size].decode("utf-8", "replace"))
        return count, size

    # -- what went wrong ------------------------------------------------------------------------------------------

    def damaged(self, what: str) -> DataError:
        """An error of this database: `what` goes on after its name."""
        return DataError(Fault(f'the LMDB "{self.path}" {what}', help=_BUILD_AGAIN, code="CL403"))

    def _where(self) -> str:
        """What the process was busy with."""
        index, length = AT.unpack_from(self._memory, 0)
        key = self._memory[AT.size : AT.size + length].decode("utf-8", "backslashreplace")
        if index == COPYING:
            return f'reading the value of record "{key}"'
        return f'reading on from record {index}, "{key}",' if key else f"reading record {index}"

    def _ended(self) -> DataError:
        end = self._end()
        if end in _OF_DAMAGE:
            return self.damaged(f"is damaged: {self._where()} ended the process that reads it ({end})")
        what = f'the LMDB "{self.path}" cannot be read any more: the process that reads it has ended ({end})'
        return DataError(Fault(what, help="was it killed, by somebody or for want of memory?"))

    def _end(self) -> str:
        """How the process ended."""
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"

    # -- the source -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    def reader(self) -> LmdbReader:
        return LmdbReader(self, next(self._readers))

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._end()
        self._shared.close()


class LmdbReader(Reader):
    """A cursor in the other process."""

    def __init__(self, source: Lmdb, number: int) -> None:
        self._source: Lmdb | None = source
        self._number = number

    def _ask(self, what: bytes, rows: Sequence[int]) -> Values:
        assert self._source is not None, "this reader is closed"
        return self._source.ask(what, self._number, rows)

    def take(self, rows: Sequence[int]) -> Values:
        return self._ask(b"r", rows)

    def keys(self, rows: Sequence[int]) -> list[bytes]:
        return list(self._ask(b"k", rows))

    def close(self) -> None:
        self._source = None


def _memory_file() -> BinaryIO:
    """A file without a name, in memory where the system has such.

    Not in /dev/shm: a container often has 64 MiB there, and writing beyond that kills the process (SIGBUS) as a damaged
    database does.
    """
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("caffelite-lmdb"), "r+b", buffering=0)
    return tempfile.TemporaryFile(prefix="caffelite-lmdb-", buffering=0)


kinds.register("LMDB")(Kind("an LMDB", _lies_at, Lmdb))
