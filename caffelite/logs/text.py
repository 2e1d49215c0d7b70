"""Records as the original's log lines.

The wording and the "file:line" of every line are those of Caffe 1.0, because scripts look for them.
Source: `src/caffe/solver.cpp`, `src/caffe/solvers/sgd_solver.cpp`, and recorded logs.
"""

from __future__ import annotations

from ctypes import c_float
from dataclasses import dataclass
from functools import singledispatch

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

LEVELS = {"info": "I", "warning": "W", "error": "E"}


@dataclass(frozen=True, slots=True)
class Line:
    """One message of the log: its text (which may span lines), its place in the source, its severity letter."""

    text: str
    source: str
    level: str = "I"


def number(value: float) -> str:
    """A number as a C++ stream prints a float: single precision, six significant digits."""
    return f"{c_float(value).value:g}"


def output(value: OutputValue) -> str:
    """ "name = value", with the weighted value behind it where the output is a loss."""
    text = f"{value.name} = {number(value.value)}"
    if value.weight:
        text += f" (* {number(value.weight)} = {number(value.weight * value.value)} loss)"
    return text


@singledispatch
def lines(record: Record) -> list[Line]:
    """The log lines of a record; none for records that only other sinks show."""
    return []


@lines.register
def _(record: Note) -> list[Line]:
    return [Line(record.text, record.source, LEVELS[record.severity])]


@lines.register
def _(record: Solving) -> list[Line]:
    return [
        Line(f"Solving {record.net}", "solver.cpp:289"),
        Line(f"Learning Rate Policy: {record.policy}", "solver.cpp:290"),
    ]


@lines.register
def _(record: Displayed) -> list[Line]:
    speed = number(record.interval / (record.seconds or 1))
    return [
        Line(
            f"Iteration {record.iteration} ({speed} iter/s, {number(record.seconds)}s/{record.display} iters), "
            f"loss = {number(record.loss)}",
            "solver.cpp:239",
        ),
        *(Line(f"    Train net output #{v.index}: {output(v)}", "solver.cpp:258") for v in record.outputs),
        Line(f"Iteration {record.iteration}, lr = {number(record.rate)}", "sgd_solver.cpp:112"),
    ]


@lines.register
def _(record: TestStarted) -> list[Line]:
    return [Line(f"Iteration {record.iteration}, Testing net (#{record.net})", "solver.cpp:347")]


@lines.register
def _(record: Tested) -> list[Line]:
    loss = [] if record.loss is None else [Line(f"Test loss: {number(record.loss)}", "solver.cpp:401")]
    return loss + [Line(f"    Test net output #{v.index}: {output(v)}", "solver.cpp:414") for v in record.outputs]


@lines.register
def _(record: Snapshotted) -> list[Line]:
    if record.model.endswith(".h5"):
        return [
            Line(f"Snapshotting to HDF5 file {record.model}", "solver.cpp:474"),
            Line(f"Snapshotting solver state to HDF5 file {record.state}", "sgd_solver.cpp:296"),
        ]
    return [
        Line(f"Snapshotting to binary proto file {record.model}", "solver.cpp:464"),
        Line(f"Snapshotting solver state to binary proto file {record.state}", "sgd_solver.cpp:284"),
    ]


@lines.register
def _(record: BestKept) -> list[Line]:
    what = f"Iteration {record.iteration}, best {record.output} so far: {number(record.value)}"
    return [Line(f"{what}, its weights are kept in {record.model}", "caffelite:0")]


@lines.register
def _(record: LastLoss) -> list[Line]:
    return [Line(f"Iteration {record.iteration}, loss = {number(record.loss)}", "solver.cpp:327")]


@lines.register
def _(record: Finished) -> list[Line]:
    if record.stopped:
        return [Line("Optimization stopped early.", "solver.cpp:311")]
    return [Line("Optimization Done.", "solver.cpp:332")]
