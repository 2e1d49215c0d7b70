"""The text log: the original's lines, written where and how glog writes them."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from .records import Record
from .text import Line, lines

RANKS = {"I": 0, "W": 1, "E": 2, "F": 3}


class Stream(Protocol):
    """What a text log is written to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def prefix(line: Line, moment: float, thread: int) -> str:
    """`I1121 07:06:29.612970  9525 solver.cpp:239] `: level, month and day, local time, thread, place."""
    seconds, rest = divmod(round(moment * 1e6), 1_000_000)
    return f"{line.level}{_stamp(seconds)}.{rest:06d} {thread:>5d} {line.source}] "


@lru_cache(maxsize=4)
def _stamp(seconds: int) -> str:
    return time.strftime("%m%d %H:%M:%S", time.localtime(seconds))


class GlogText:
    """A sink that writes the original's log lines to a text stream.

    Lines below `least` (0 info, 1 warning, 2 error) are left out.  A stream that cannot be written to any more (a
    closed pipe, a full disk) ends the log, not the run.
    """

    def __init__(self, stream: Stream | None = None, *, least: int = 0, clock: Callable[[], float] = time.time) -> None:
        self._stream: Stream | None = stream if stream is not None else sys.stderr
        self._least = least
        self._clock = clock

    def __call__(self, record: Record) -> None:
        for line in lines(record):
            self.line(line)

    def line(self, line: Line) -> None:
        """Write one line."""
        if self._stream is None or RANKS[line.level] < self._least:
            return
        try:
            self._stream.write(f"{prefix(line, self._clock(), threading.get_native_id())}{line.text}\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self._stream = None


class GlogFile(GlogText):
    """The text log in a file named as glog names it, `<program>.<host>.<user>.log.INFO.<date>-<time>.<pid>`, with a
    link `<program>.INFO` to it.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, folder: Path, *, program: str = "caffelite", least: int = 0) -> None:
        now = time.localtime()
        host = socket.gethostname()
        name = f"{program}.{host}.{_user()}.log.INFO.{time.strftime('%Y%m%d-%H%M%S', now)}.{os.getpid()}"
        self.path = folder / name
        self._file = self.path.open("w", encoding="utf-8")
        self._file.write(
            f"Log file created at: {time.strftime('%Y/%m/%d %H:%M:%S', now)}\n"
            f"Running on machine: {host}\n"
            "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n"
        )
        _link(folder / f"{program}.INFO", name)
        super().__init__(self._file, least=least)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user id, as in a container
        return "invalid-user"


def _link(link: Path, target: str) -> None:
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    except OSError:  # a file system without links: the log itself is there
        return
