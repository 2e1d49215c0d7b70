"""From Python's own logging to the text log: what a library or a room warns about becomes a line like any other."""

from __future__ import annotations

import logging
from typing import Literal

from .records import Note, Sink


class LogBridge(logging.Handler):
    """A logging handler that hands messages to a sink as notes, with the `source` they are given
    or the Python file and line they come from."""

    def __init__(self, sink: Sink, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        severity: Literal["info", "warning", "error"] = "info"
        if record.levelno >= logging.WARNING:
            severity = "error" if record.levelno >= logging.ERROR else "warning"
        source = getattr(record, "source", f"{record.filename}:{record.lineno}")
        self._sink(Note(record.getMessage(), severity, source))
