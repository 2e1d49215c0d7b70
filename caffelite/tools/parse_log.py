"""Logs as tables: the rows that the original's `tools/extra/parse_log.py` makes of a log, and its CSV files.

A row is what a net's outputs were in one iteration, with NumIters, Seconds since the solving began, and LearningRate.
What one may not expect is the original's:

- LearningRate is the rate that was displayed last before the outputs, so that of the display before; the first row of a
  table, before which none was, has that of the second.
- The first row ends where the next begins, and tells how many columns there are: a row of as many is whole, so that
  outputs that several test nets have in common make several rows of one iteration.
- Of several values of one name in a row, the last stands there.
- A row that the log breaks off in is left out.

What the original could not read is read: logs that name the year in every line, outputs that are nan or inf, a table of
one row.  The year of other logs is taken from their head.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import nan
from pathlib import Path

from ..errors import DataError, UsageError
from ..logs.parse import NUMBER, read, read_text
from ..logs.records import Solving
from .whole import whole, writing

Row = dict[str, float]
"""Values by column."""

Rows = list[Row]

_ITERATION = re.compile(r"Iteration (\d+)")
_RATE = re.compile(rf"lr = ({NUMBER})")
_OUTPUT = re.compile(rf"(Train|Test) net output #\d+: (.+?) = ({NUMBER})")


@dataclass(slots=True)
class _Table:
    """The rows of the train or the test outputs.

    Attributes:
        every_value: several values of one name in a row are columns `name`, `name #1`, `name #2` …
        open: the row that is not whole yet.
    """

    every_value: bool
    rows: list[Row] = field(default_factory=list)
    open: Row | None = None

    def take(self, start: Row, name: str, value: float) -> None:
        """An output, of the row that starts so."""
        if self.open is None or self.open["NumIters"] != start["NumIters"]:
            self.close()
            self.open = dict(start)
        self.open[self._column(self.open, name)] = value
        if self.rows and len(self.open) == len(self.rows[0]):
            self.close()

    def _column(self, row: Row, name: str) -> str:
        column, number = name, 0
        while self.every_value and column in row:
            number += 1
            column = f"{name} #{number}"
        return column

    def close(self) -> None:
        """No further output belongs to the open row."""
        if self.open is not None:
            self.rows.append(self.open)
            self.open = None

    def back_to(self, iteration: int) -> float:
        """Forget the rows from this iteration on; the seconds until there."""
        self.close()
        seconds = max((row["Seconds"] for row in self.rows if row["NumIters"] <= iteration), default=0.0)
        self.rows = [row for row in self.rows if row["NumIters"] < iteration]
        return seconds

    def end(self) -> list[Row]:
        """All rows."""
        if not self.rows:
            self.close()
        if len(self.rows) > 1:
            self.rows[0]["LearningRate"] = self.rows[1]["LearningRate"]
        return self.rows


class _Reader:
    """Reads the lines of a log, one after the other.

    Args:
        every_value: as in :class:`_Table`.
        resumed: the iterations at which the run was resumed; what it makes again then, and the time between, is
            forgotten.
    """

    def __init__(self, every_value: bool, resumed: Iterable[int]) -> None:
        self.train, self.test = _Table(every_value), _Table(every_value)
        self._resumed = iter(resumed)
        self._start: datetime | None = None
        self._iteration = -1
        self._rates: list[tuple[int, float]] = []

    def take(self, moment: datetime | None, text: str) -> None:
        """One line more; one without a prefix, whose `moment` is None, can only name an iteration."""
        if "Solving" in text and moment is not None:
            self._solving(moment)
        if self._start is None:
            return
        if match := _ITERATION.search(text):
            self._iteration = int(match[1])
        if self._iteration < 0 or moment is None:
            return
        if match := _RATE.search(text):
            self._rates.append((self._iteration, float(match[1])))
        if match := _OUTPUT.search(text):
            seconds = (moment - self._start).total_seconds()
            rate = self._rates[-1][1] if self._rates else nan
            start = {"NumIters": float(self._iteration), "Seconds": seconds, "LearningRate": rate}
            (self.train if match[1] == "Train" else self.test).take(start, match[2], float(match[3]))

    def _solving(self, moment: datetime) -> None:
        if self._start is None:
            self._start = moment
        elif (iteration := next(self._resumed, None)) is not None:
            seconds = max(self.train.back_to(iteration), self.test.back_to(iteration))
            self._start = moment - timedelta(seconds=seconds)
            self._rates = [(shown, rate) for shown, rate in self._rates if shown < iteration]


def parse_log(path: str | os.PathLike[str], *, every_value: bool = False, final: bool = False) -> tuple[Rows, Rows]:
    """The rows of the train outputs and those of the test outputs.

    Args:
        path: a log of the original's or ours, as text or JSON lines, or the folder of a run.
        every_value: every value has a column: where an output has several, or several nets have an output of one name,
            they are `name`, `name #1`, `name #2` …, and an iteration is one row.
        final: of a run that was resumed, what it ended with: without the rows it made again, and the time between.

    Raises:
        DataError: the log cannot be read, or holds no line of a log.
    """
    path = Path(path)
    solvings = [timed.record.iteration for timed in read(path) if isinstance(timed.record, Solving)] if final else []
    reader = _Reader(every_value, solvings[1:])
    for moment, text in read_text(path):
        reader.take(moment, text)
    return reader.train.end(), reader.test.end()


def save_csv_files(
    log: str | os.PathLike[str], folder: str | os.PathLike[str], train: Rows, test: Rows, delimiter: str = ","
) -> dict[Path, int]:
    """Write rows as `<name of the log>.train` and `.test`, in the form of Python's csv: lines end in CR LF.

    Args:
        log: gives the files their names.
        folder: is made if it is not there; files of these names are replaced.

    Returns:
        The two paths, and how many rows went there; no file is written for none.

    Raises:
        UsageError: csv cannot separate columns by this delimiter.
        DataError: a file cannot be written.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        what = f'columns are separated by one character other than a quotation mark, not by "{delimiter}"'
        raise UsageError(what, help="a tab is $'\\t' in a shell")
    name = Path(log).absolute().name
    tables = {Path(folder) / f"{name}.{kind}": rows for kind, rows in (("train", train), ("test", test))}
    for path, rows in tables.items():
        if rows:
            _write(path, rows, delimiter)
    return {path: len(rows) for path, rows in tables.items()}


def _write(path: Path, rows: Rows, delimiter: str) -> None:
    if path.is_dir():
        raise DataError(f'"{path}" is a folder; it is left alone')
    columns = dict.fromkeys(column for row in rows for column in row)
    with (
        whole(path) as unfinished,
        writing(path, unfinished),
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.DictWriter(file, list(columns), delimiter=delimiter)
        table.writeheader()
        table.writerows(rows)
