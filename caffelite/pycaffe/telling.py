"""The log of a script: the original's lines on stderr.

As there, it is on from the beginning, and the environment variable GLOG_minloglevel (0 info, 1 warning, 2 error) says
how much is shown.  Where the script has set up Python's own logging, warnings go there and not here.
"""

from __future__ import annotations

import logging
import os
import sys

from ..logs.bridge import LogBridge
from ..logs.glog import GlogText
from ..logs.records import Note, Record
from ..logs.text import lines

SILENT = 3
"""A level above everything that is said."""


def _least() -> int:
    given = os.environ.get("GLOG_minloglevel", "0")  # noqa: SIM112
    return int(given) if given.isdecimal() else 0


class _Shown:
    """The sink of all solvers of the process: writes to what is stderr at that moment."""

    def __init__(self) -> None:
        self.least: int | None = None

    def __call__(self, record: Record) -> None:
        least = _least() if self.least is None else self.least
        if least < SILENT and lines(record):
            GlogText(sys.stderr, least=least)(record)


class _Warned(LogBridge):
    """Python's logging of this package, as lines of the log, unless somebody else listens."""

    def emit(self, record: logging.LogRecord) -> None:
        handlers = logging.getLogger("caffelite").handlers
        if any(isinstance(handler, LogBridge) for handler in handlers if handler is not self):
            return  # a command has it in its log, and a layer's file has imported this API
        if not hasattr(record, "source"):
            if logging.getLogger().handlers:
                return
            record.source = "caffelite:0"
        super().emit(record)


shown = _Shown()


def attend() -> None:
    """Show what this package says through Python's logging, too: warnings, and what `debug_info` asks for."""
    logger = logging.getLogger("caffelite")
    if not any(isinstance(handler, _Warned) for handler in logger.handlers):
        logger.addHandler(_Warned(shown))
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Show what is said from this level on (0 info, 1 warning, 2 error), or nothing where `stderr` is False.

    The original then writes into a file of the system's temporary folder; here `caffelite train --log_dir` writes
    files.
    """
    shown.least = int(level) if stderr else SILENT
    attend()


def log(text: str) -> None:
    """One line in the log."""
    shown(Note(str(text), source="_caffe.cpp:67"))
