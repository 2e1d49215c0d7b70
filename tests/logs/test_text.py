"""The text log against recorded logs of the original."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from caffelite.logs.glog import GlogFile, GlogText, prefix
from caffelite.logs.records import (
    BestKept,
    Displayed,
    Finished,
    LastLoss,
    Note,
    OutputValue,
    Snapshotted,
    Solving,
    Tested,
    TestStarted,
)
from caffelite.logs.text import Line, lines, number


def written(*records: object) -> list[str]:
    """The lines of records as "file:line] text", without level, time and thread."""
    return [f"{line.source}] {line.text}" for record in records for line in lines(record)]


def test_train_lines_are_the_recorded_ones(golden: Callable[[str], Path]) -> None:
    recorded = golden("cli/train_from_init/stderr.txt").read_text().splitlines()
    tail = [re.sub(r"^IMMDD HH:MM:SS.uuuuuu TID ", "", line) for line in recorded]
    tail = tail[tail.index("solver.cpp:289] Solving tiny") :]
    run = [
        Solving("tiny", "step", 0, 30),
        TestStarted(0, 0),
        Tested(0, 0, (OutputValue(0, "acc", 0.25), OutputValue(1, "loss", 1.30764, 1.0))),
    ]
    expected = [line for line in tail if not line.startswith("solver.cpp:239] Iteration 0 ")]
    assert written(*run) == expected[:5]
    display = Displayed(5, 0.905888, 0.1, 0.0, 5, 5, (OutputValue(0, "loss", 0.758512, 1.0),))
    at = tail.index("solver.cpp:239] Iteration 5 (5 iter/s, 0s/5 iters), loss = 0.905888")
    assert written(display) == tail[at : at + 3]
    at = tail.index("solver.cpp:464] Snapshotting to binary proto file snap_iter_15.caffemodel")
    assert written(Snapshotted(15, "snap_iter_15.caffemodel", "snap_iter_15.solverstate")) == tail[at : at + 2]
    end = [
        LastLoss(30, 0.159954),
        TestStarted(30, 0),
        Tested(30, 0, (OutputValue(0, "acc", 0.8125), OutputValue(1, "loss", 0.467307, 1.0))),
        Finished(30, 0.159954),
        Note("Optimization Done.", source="caffe.cpp:250"),
    ]
    assert written(*end) == tail[-6:]


def test_speed_and_seconds() -> None:
    display = Displayed(300, 0.170638, 0.01, 2.525, 100, 100)
    assert written(display)[0] == "solver.cpp:239] Iteration 300 (39.604 iter/s, 2.525s/100 iters), loss = 0.170638"


def test_hdf5_snapshots_and_test_loss() -> None:
    assert written(Snapshotted(2, "a_iter_2.caffemodel.h5", "a_iter_2.solverstate.h5")) == [
        "solver.cpp:474] Snapshotting to HDF5 file a_iter_2.caffemodel.h5",
        "sgd_solver.cpp:296] Snapshotting solver state to HDF5 file a_iter_2.solverstate.h5",
    ]
    assert written(Tested(0, 0, (), 0.5)) == ["solver.cpp:401] Test loss: 0.5"]
    assert written(Finished(7, stopped=True)) == ["solver.cpp:311] Optimization stopped early."]


def test_the_best_weights() -> None:
    assert written(BestKept(500, "accuracy", 0.9876543, "a_best.caffemodel")) == [
        "caffelite:0] Iteration 500, best accuracy so far: 0.987654, its weights are kept in a_best.caffemodel"
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1706381, "0.170638"),
        (1e-5, "1e-05"),
        (2.525, "2.525"),
        (1.0, "1"),
        (0.0, "0"),
        (123456789.0, "1.23457e+08"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (1e300, "inf"),  # a float has no such number
    ],
)
def test_numbers_are_a_cpp_stream_s(value: float, text: str) -> None:
    assert number(value) == text


def test_prefix_is_glog_s() -> None:
    moment = time.mktime((2026, 11, 21, 7, 6, 29, 0, 0, -1)) + 0.612970
    assert prefix(Line("", "solver.cpp:239"), moment, 9525) == "I1121 07:06:29.612970  9525 solver.cpp:239] "
    assert prefix(Line("", "a.cpp:1", "W"), moment + 0.3870299, 123456).startswith(
        "W1121 07:06:30.000000 123456 a.cpp:1"
    )


def test_levels_below_the_least_are_left_out() -> None:
    stream = io.StringIO()
    log = GlogText(stream, least=1)
    log(Note("quiet"))
    log(Note("loud", "warning", "here.py:3"))
    assert re.fullmatch(r"W\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ here\.py:3\] loud\n", stream.getvalue())


def test_a_closed_stream_ends_the_log_not_the_run() -> None:
    stream = io.StringIO()
    log = GlogText(stream)
    stream.close()
    log(Note("first"))
    log(Note("second"))


def test_log_file_is_named_and_linked_as_glog_does(tmp_path: Path) -> None:
    log = GlogFile(tmp_path)
    log(Note("hello", source="caffe.cpp:197"))
    log.close()
    assert re.fullmatch(r"caffelite\..+\..+\.log\.INFO\.\d{8}-\d{6}\.\d+", log.path.name)
    assert (tmp_path / "caffelite.INFO").read_text() == log.path.read_text()
    head, *_, last = log.path.read_text().splitlines()
    assert head.startswith("Log file created at: 20")
    assert last.endswith(" caffe.cpp:197] hello")
