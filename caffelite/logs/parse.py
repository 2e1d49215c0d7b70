"""Logs back into records: the original's text log or ours, or JSON lines."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Literal

from ..errors import DataError, Fault
from .jsonl import read_lines
from .records import (
    BestKept,
    Displayed,
    Finished,
    LastLoss,
    Note,
    OutputValue,
    Record,
    Snapshotted,
    Solving,
    Tested,
    TestStarted,
)
from .text import lines as text_lines


@dataclass(frozen=True, slots=True)
class Timed:
    """A record, and the seconds since the (first) solving began; negative before it."""

    seconds: float
    record: Record


@dataclass(frozen=True, slots=True)
class _Message:
    """A log line taken apart: level, moment, source, text, to which lines without a prefix may be joined."""

    level: str
    moment: datetime
    source: str
    text: str


# Both forms of glog's prefix: `I1121 07:06:29.612970  9525 solver.cpp:239] ` and, since glog 0.5, with the year.
_PREFIX = re.compile(
    r"(?P<level>[IWEF])(?P<year>\d{4})?(?P<month>\d\d)(?P<day>\d\d) (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"\.(?P<fraction>\d{6})\s+\d+ (?P<source>\S+:\d+)\] ?(?P<text>.*)"
)
_CREATED = re.compile(r"Log file created at: (\d{4})/")
NUMBER = r"[-+]?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?)"
_DISPLAY = re.compile(rf"Iteration (\d+) \(({NUMBER}) iter/s, ({NUMBER})s/(\d+) iters\), loss = ({NUMBER})$")
_RATE = re.compile(rf"Iteration (\d+), lr = ({NUMBER})$")
_LAST_LOSS = re.compile(rf"Iteration (\d+), loss = ({NUMBER})$")
_TEST = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)$")
_OUTPUT = re.compile(rf"\s*(Train|Test) net output #(\d+): (.*?) = ({NUMBER})(?: \(\* ({NUMBER}) = {NUMBER} loss\))?$")
_TEST_LOSS = re.compile(rf"Test loss: ({NUMBER})$")
_BEST = re.compile(rf"Iteration (\d+), best (.*) so far: ({NUMBER}), its weights are kept in (.*)$")
_MODEL = re.compile(r"Snapshotting to (?:binary proto|HDF5) file (.*)$")
_STATE = re.compile(r"Snapshotting solver state to (?:binary proto|HDF5) file (.*)$")
_ITERATION_IN_NAME = re.compile(r"_iter_(\d+)\.")
_RESUMING = ("Resuming from ", "Restoring previous solver status from ")
_MAX_ITER = re.compile(r"^max_iter: (\d+)$", re.MULTILINE)
_MAX_EPOCH = re.compile(r"(?:note: )?max_epoch \S+ is (\d+) iterations: ")
_SEVERITIES: dict[str, Literal["info", "warning", "error"]] = {"I": "info", "W": "warning", "E": "error", "F": "error"}


def _moment(match: re.Match[str], year: int) -> datetime:
    year = int(match["year"] or year)
    month, day = int(match["month"]), int(match["day"])
    if (month, day) == (2, 29) and not calendar.isleap(year):
        year -= year % 4  # the year is a guess, the day is not
    return datetime(
        year, month, day, int(match["hour"]), int(match["minute"]), int(match["second"]), int(match["fraction"])
    )


def _lines(lines: Iterable[str], year: int) -> Iterator[_Message | str]:
    """Log lines taken apart; what has no prefix as it is.

    A log does not name its year: when the month falls, a new one has begun.
    """
    last: datetime | None = None
    for line in lines:
        line = line.rstrip("\r\n")
        if created := _CREATED.match(line):
            year = int(created[1])
        match = _PREFIX.match(line)
        if match is None:
            yield line
            continue
        try:
            moment = _moment(match, year)
            if last is not None and moment.month < last.month and not match["year"]:
                moment = _moment(match, year + 1)
        except ValueError:  # digits that are no date: not a log line
            continue
        year, last = moment.year, moment
        yield _Message(match["level"], moment, match["source"], match["text"])


def _messages(lines: Iterable[str], year: int) -> Iterator[_Message]:
    """The messages of a log, each with all of its lines."""
    last: _Message | None = None
    for line in _lines(lines, year):
        if isinstance(line, _Message):
            if last is not None:
                yield last
            last = line
        elif last is not None:
            last = replace(last, text=f"{last.text}\n{line}")
    if last is not None:
        yield last


@dataclass(slots=True)
class _Reader:
    """Puts the lines of one record together.  `open` is the record that further lines may still add to."""

    open: Displayed | Tested | None = None
    opened: datetime = datetime.min
    test: TestStarted | None = None
    model: str = ""
    iteration: int = 0
    started_at: int = 0
    max_iter: int = 0
    net: str = ""
    last_loss: float | None = None
    done: list[tuple[datetime, Record]] = field(default_factory=list)

    def close(self) -> None:
        """No further line belongs to the open record."""
        if self.open is not None:
            self.done.append((self.opened, self.open))
            self.open = None

    def _begin(self, moment: datetime, record: Displayed | Tested) -> None:
        self.close()
        self.open, self.opened = record, moment

    def _emit(self, moment: datetime, record: Record) -> None:
        self.close()
        self.done.append((moment, record))

    def _output(self, moment: datetime, match: re.Match[str]) -> None:
        value = OutputValue(int(match[2]), match[3], float(match[4]), float(match[5] or 0))
        if match[1] == "Test" and self.test is not None and not isinstance(self.open, Tested):
            self._begin(moment, Tested(self.test.iteration, self.test.net, ()))
        if isinstance(self.open, Tested if match[1] == "Test" else Displayed):
            self.open = replace(self.open, outputs=(*self.open.outputs, value))

    def _display(self, moment: datetime, match: re.Match[str]) -> None:
        speed, seconds = float(match[2]), float(match[3])
        # The original's first interval is an uninitialised number, of any size.
        product = speed * (seconds or 1)
        interval = round(product) if 0 <= product <= int(match[1]) + 1 else 0
        self.iteration = int(match[1])
        self._begin(moment, Displayed(self.iteration, float(match[5]), float("nan"), seconds, interval, int(match[4])))

    def _rate(self, moment: datetime, match: re.Match[str]) -> None:
        if isinstance(self.open, Displayed):
            self.open = replace(self.open, rate=float(match[2]))
        self.close()

    def _snapshot(self, moment: datetime, state: str) -> None:
        named = _ITERATION_IN_NAME.search(state)
        self.iteration = int(named[1]) if named else self.iteration
        self._emit(moment, Snapshotted(self.iteration, self.model, state))

    def _plain(self, message: _Message) -> None:
        moment, text = message.moment, message.text
        in_solver = message.source.startswith("solver.cpp:")
        if text.startswith("Solving ") and in_solver:
            self.net = text.removeprefix("Solving ")
        elif text.startswith("Learning Rate Policy: ") and in_solver:
            policy = text.removeprefix("Learning Rate Policy: ")
            self._emit(moment, Solving(self.net, policy, self.started_at, self.max_iter))
        elif text == "Optimization Done." and in_solver:
            self._emit(moment, Finished(self.iteration, self.last_loss))
        elif text == "Optimization stopped early.":
            self._emit(moment, Finished(self.iteration, None, True))
        else:
            if text.startswith(_RESUMING) and (named := _ITERATION_IN_NAME.search(text)):
                self.started_at = self.iteration = int(named[1])
            if text.startswith("Initializing solver from parameters") and (limit := _MAX_ITER.search(text)):
                self.max_iter = int(limit[1])
            if limit := _MAX_EPOCH.match(text):
                self.max_iter = min(self.max_iter or int(limit[1]), int(limit[1]))
            self._emit(moment, Note(text, _SEVERITIES[message.level], message.source))

    def take(self, message: _Message) -> None:
        """One line more."""
        moment, text = message.moment, message.text
        if match := _OUTPUT.match(text):
            self._output(moment, match)
        elif match := _DISPLAY.match(text):
            self._display(moment, match)
        elif match := _RATE.match(text):
            self._rate(moment, match)
        elif match := _TEST.match(text):
            self.iteration = int(match[1])
            self.test = TestStarted(self.iteration, int(match[2]))
            self._emit(moment, self.test)
        elif (match := _TEST_LOSS.match(text)) and self.test is not None:
            self._begin(moment, Tested(self.test.iteration, self.test.net, (), float(match[1])))
        elif match := _LAST_LOSS.match(text):
            self.iteration, self.last_loss = int(match[1]), float(match[2])
            self._emit(moment, LastLoss(self.iteration, self.last_loss))
        elif match := _BEST.match(text):
            self._emit(moment, BestKept(int(match[1]), match[2], float(match[3]), match[4]))
        elif match := _MODEL.match(text):
            self.close()
            self.model = match[1]
        elif match := _STATE.match(text):
            self._snapshot(moment, match[1])
        else:
            self._plain(message)


def _timed(found: list[tuple[datetime, Record]]) -> list[Timed]:
    if not found:
        return []
    start = next((moment for moment, record in found if isinstance(record, Solving)), found[0][0])
    return [Timed((moment - start) / timedelta(seconds=1), record) for moment, record in found]


def parse_text(lines: Iterable[str], year: int = 2000) -> list[Timed]:
    """The records of a text log.

    Args:
        lines: of the original's log or ours; what is not a log line belongs to the message before it.
        year: in which the log begins, where it does not say (only leap days depend on it).
    """
    reader = _Reader()
    for message in _messages(lines, year):
        reader.take(message)
    reader.close()
    return _timed(reader.done)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A log file: its lines, whether they are JSON, and the year it was last written in."""

    lines: Iterable[str]
    is_json: bool
    year: int


@contextmanager
def _opened(path: Path) -> Iterator[_Opened]:
    """The log at `path`, a file or a run folder.

    Raises:
        DataError: it cannot be read.
    """
    if path.is_dir():
        folder, path = path, path / "log.jsonl"
        if not path.exists():
            raise DataError(
                Fault(
                    f'"{folder}" is not a run\'s folder: there is no log.jsonl in it',
                    help="a run keeps its record in <snapshot_prefix>_run",
                )
            )
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline()
            year = datetime.fromtimestamp(path.stat().st_mtime).year
            yield _Opened(chain([first], file), first.lstrip().startswith("{"), year)
    except OSError as error:
        raise DataError(Fault(f'cannot read log "{path}": {error.strerror or error}')) from error


def _no_log(path: Path) -> DataError:
    help = "give the text a run wrote to stderr, its log.jsonl, or its run folder"
    return DataError(Fault(f'"{path}" holds no line of a log', help=help))


def read(path: Path) -> list[Timed]:
    """The records of a log file of either form, or of a run folder.

    Raises:
        DataError: it cannot be read, or holds no log line.
    """
    with _opened(path) as log:
        if log.is_json:
            timed = _timed([(datetime.fromtimestamp(moment), record) for moment, record in read_lines(log.lines)])
        else:
            timed = parse_text(log.lines, log.year)
    if not timed:
        raise _no_log(path)
    return timed


def read_text(path: Path) -> Iterator[tuple[datetime | None, str]]:
    """What `read` reads as the lines of a text log, without their prefixes; each with the moment its prefix tells, None
    for a line that has none.

    Raises:
        DataError: as in `read`.
    """
    empty = True
    with _opened(path) as log:
        for moment, text in _written(log.lines) if log.is_json else _told(log):
            empty = empty and moment is None
            yield moment, text
    if empty:
        raise _no_log(path)


def _told(log: _Opened) -> Iterator[tuple[datetime | None, str]]:
    for line in _lines(log.lines, log.year):
        yield (line.moment, line.text) if isinstance(line, _Message) else (None, line)


def _written(lines: Iterable[str]) -> Iterator[tuple[datetime | None, str]]:
    """The text log's lines of records in JSON."""
    for moment, record in read_lines(lines):
        for message in text_lines(record):
            first, *rest = message.text.split("\n")
            yield datetime.fromtimestamp(moment), first
            yield from ((None, line) for line in rest)
