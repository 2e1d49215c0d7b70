"""The live progress bar, for people at a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any, TextIO

from .records import Displayed, Finished, LastLoss, Record, Solving, Tested, TestStarted
from .text import number

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


ECHO = len("^C^C")
"""Columns left free at the right: a terminal writes Ctrl-C there, and must not wrap the line."""

WIDE = 80
"""Columns from which on there is room for the rate."""


def wanted(stream: TextIO | None = None) -> bool:
    """Whether somebody sits behind the stream (default: stderr): only then a bar is of use."""
    stream = stream or sys.stderr
    if stream is None:  # Python's word for a closed one
        return False
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class _Above:
    """A stream whose lines appear above the bar, unwrapped and without markup."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rest = ""

    def write(self, text: str) -> None:
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def flush(self) -> None:
        """Nothing to do: lines are printed when they are whole."""


def _columns() -> list[Any]:
    from rich import progress
    from rich.table import Column

    def whole() -> Column:
        """Where space is short, the bar gives way; half a number would be a wrong one."""
        return Column(no_wrap=True)

    class Speed(progress.ProgressColumn):
        """Iterations a second over the last half minute."""

        def render(self, task: progress.Task) -> RenderableType:
            speed = task.speed or 0.0
            return f"{speed:.0f} it/s" if speed >= 100 else f"{speed:.3g} it/s" if speed else "– it/s"

    return [
        progress.TextColumn("{task.description}", table_column=whole()),
        progress.BarColumn(bar_width=None),
        progress.MofNCompleteColumn(table_column=whole()),
        progress.TextColumn("{task.fields[state]}", markup=False, table_column=whole()),
        Speed(table_column=whole()),
        progress.TextColumn("ETA", table_column=whole()),
        progress.TimeRemainingColumn(compact=True, table_column=whole()),
    ]


class Progress:
    """A sink that shows iteration, loss, rate, speed and the time left while log lines scroll by above.

    Give `stream` to the text log, so that the two do not overwrite each other.

    Args:
        console: where to draw; stderr by default.  rich takes NO_COLOR into account.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.constrain import Constrain
        from rich.progress import Progress as Bar

        owner = self

        class Live(Bar):
            def get_renderables(self) -> Iterable[RenderableType]:
                owner._poll()
                for drawn in super().get_renderables():
                    yield Constrain(drawn, owner._console.width - ECHO)

        self._console = console or Console(stderr=True)
        self.stream = _Above(self._console)
        self.iteration: Callable[[], int] | None = None
        """Asked at every redraw, if set: costs the training loop nothing."""
        self._task: Any = None
        self._loss = self._rate = ""
        self._bar = Live(*_columns(), console=self._console, transient=True, refresh_per_second=5)

    @singledispatchmethod
    def __call__(self, record: Record) -> None:
        """Show what a record says, if the bar shows such things."""

    @__call__.register
    def _(self, record: Solving) -> None:
        self._task = self._bar.add_task("training", total=record.max_iter or None, completed=record.iteration, state="")
        self._bar.start()

    @__call__.register
    def _(self, record: Displayed) -> None:
        self._loss, self._rate = number(record.loss), number(record.rate)
        self._show(completed=record.iteration)

    @__call__.register
    def _(self, record: TestStarted) -> None:
        self._show(description="testing", completed=record.iteration)

    @__call__.register
    def _(self, record: Tested) -> None:
        self._show(description="training")

    @__call__.register
    def _(self, record: LastLoss) -> None:
        self._loss = number(record.loss)
        self._show(completed=record.iteration)

    @__call__.register
    def _(self, record: Finished) -> None:
        self._show(completed=record.iteration)
        self.close()

    def _show(self, **values: Any) -> None:
        if self._task is not None:
            rate = f"  lr {self._rate}" if self._rate and self._console.width >= WIDE else ""
            state = f"loss {self._loss}{rate}" if self._loss else ""
            self._bar.update(self._task, state=state, **values)

    def _poll(self) -> None:
        if self._task is not None and self.iteration is not None:
            self._bar.update(self._task, completed=self.iteration())

    def close(self) -> None:
        """Take the bar away; may be called twice."""
        self._bar.stop()
