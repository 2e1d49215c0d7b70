"""What a run has to say, as frozen events.

The solver and the commands emit records to a list of sinks (callables that take one record): the text log, the JSON
lines of the run folder, the progress bar.  Parsing a text log gives the records back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Record:
    """The base of all records."""


@dataclass(frozen=True, slots=True)
class Note(Record):
    """A line of the log that carries no number anybody plots.  `source` is the "file:line" the original prints."""

    text: str
    severity: Literal["info", "warning", "error"] = "info"
    source: str = "caffelite:0"


@dataclass(frozen=True, slots=True)
class OutputValue:
    """One element of a net output: its running number over all outputs, blob name, value, and loss weight (0: none)."""

    index: int
    name: str
    value: float
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Solving(Record):
    """Training begins or goes on: name of the net, rate policy, iteration it starts at and ends before."""

    net: str
    policy: str
    iteration: int
    max_iter: int


@dataclass(frozen=True, slots=True)
class Displayed(Record):
    """A display: smoothed loss, rate, seconds and iterations since the last display, outputs of the train net."""

    iteration: int
    loss: float
    rate: float
    seconds: float
    interval: int
    display: int
    outputs: tuple[OutputValue, ...] = ()


@dataclass(frozen=True, slots=True)
class TestStarted(Record):
    """A test net is about to be run."""

    iteration: int
    net: int


@dataclass(frozen=True, slots=True)
class Tested(Record):
    """A test net's outputs, averaged over test_iter batches; `loss` only with test_compute_loss."""

    iteration: int
    net: int
    outputs: tuple[OutputValue, ...]
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshotted(Record):
    """A snapshot is whole on disk."""

    iteration: int
    model: str
    state: str


@dataclass(frozen=True, slots=True)
class BestKept(Record):
    """A test output was better than ever in this run; the weights are whole on disk, as `model`."""

    iteration: int
    output: str
    value: float
    model: str


@dataclass(frozen=True, slots=True)
class NotFinite(Record):
    """What of a training ceased to be finite in this iteration ("loss", "gradient" or "weights"); the iteration's rate
    and loss (None for weights); the layer and array where it began, "" where they are not known.

    The text log has no line for it: there a warning, or the error that ends the run, says more.
    """

    iteration: int
    what: str
    rate: float
    loss: float | None
    layer: str = ""
    array: str = ""


@dataclass(frozen=True, slots=True)
class LastLoss(Record):
    """The smoothed loss of the forward pass after the last update; comes before the last test."""

    iteration: int
    loss: float


@dataclass(frozen=True, slots=True)
class Finished(Record):
    """Training ended: at max_iter, by early_stop, or (`stopped`) by a signal.  The last record of a run."""

    iteration: int
    loss: float | None = None
    stopped: bool = False


Sink = Callable[[Record], None]
"""Takes a record; must not raise."""


def emit(sinks: Sequence[Sink], record: Record) -> None:
    """Hand a record to every sink, in order."""
    for sink in sinks:
        sink(record)
