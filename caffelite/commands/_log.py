"""The log of a running command: where its records go."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Literal

from ..errors import CaffeliteError, Fault
from ..logs.bridge import LogBridge
from ..logs.glog import GlogFile, GlogText
from ..logs.records import Note, Record, Sink
from ..logs.run_record import RunRecord


def _file(folder: Path, least: int) -> GlogFile:
    try:
        return GlogFile(folder, least=least)
    except OSError as error:
        raise CaffeliteError(f"no log can be written in {folder}: {error.strerror}") from error


class Log:
    """Sinks of a command: the text on stderr, a file, a progress bar at a terminal, and what Python's logging says.

    Used as a context manager; it is itself a sink.

    Args:
        folder: write a log file there too.
        to_stderr: write the text to stderr.
        least: lowest level written.
        training: show a bar, where stderr is a terminal, and expect a run's folder (see `keep`).
    """

    def __init__(self, folder: str | None, to_stderr: bool, least: int, training: bool) -> None:
        self.sinks: list[Sink] = []
        self.progress = None
        self._closing: list[GlogFile | RunRecord] = []
        self._early: list[tuple[float, Record]] | None = [] if training else None
        if training:
            from ..logs import progress as bars

            self.progress = bars.Progress() if bars.wanted() else None
        if to_stderr:
            self.sinks.append(GlogText(self.progress.stream if self.progress else None, least=least))
        if folder is not None:
            file = _file(Path(folder), least)
            self.sinks.append(file)
            self._closing.append(file)
        if self.progress:
            self.sinks.append(self.progress)
        self._bridge = LogBridge(self)
        self._logger = logging.getLogger("caffelite")

    def __call__(self, record: Record) -> None:
        if self._early is not None:
            self._early.append((time.time(), record))
        for sink in self.sinks:
            sink(record)

    def note(
        self, text: str, source: str = "caffelite:0", severity: Literal["info", "warning", "error"] = "info"
    ) -> None:
        """One line; `source` is the place the original names in its line of that wording."""
        self(Note(text, severity, source))

    def warn(self, fault: Fault) -> None:
        """A fault that does not stop anything."""
        self.note(str(fault), severity="info" if fault.severity == "note" else "warning")

    def keep(self, record: RunRecord) -> None:
        """Write everything into the run's folder too, what was said until now included."""
        for moment, early in self._early or []:
            record(early, moment)
        self._early = None
        self.sinks.append(record)
        self._closing.append(record)

    def __enter__(self) -> Log:
        self._level, self._propagates = self._logger.level, self._logger.propagate
        self._logger.addHandler(self._bridge)
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress:
            self.progress.close()
        if isinstance(error, CaffeliteError):
            for sink in self._closing:  # stderr shows the error anyway; the files should hold it too
                sink(Note(str(error), "error"))
        for sink in self._closing:
            sink.close()
        self._logger.removeHandler(self._bridge)
        self._logger.setLevel(self._level)
        self._logger.propagate = self._propagates
