"""Command lines whose output was recorded from the original, with the same numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .conftest import GLOG_PREFIX, Run

UNSTEADY = r"\(\S+ iter/s, \S+s/"
"""Speeds and times."""


def said(log: str, beginning: str) -> list[str]:
    """A log from the line that begins so on, without times, threads and speeds."""
    lines = [re.sub(GLOG_PREFIX + "|^[IWE]MMDD HH:MM:SS.uuuuuu TID ", "", line) for line in log.splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith(beginning))
    return [re.sub(UNSTEADY, "(", line) for line in lines[start:]]


def test_train_from_given_weights(here: Run, files: Path, golden: Callable[[str], Path]) -> None:
    done = here("train", "--solver=solver.prototxt", "--weights=init.caffemodel")
    assert done.status == 0, done.err
    recorded = golden("cli/train_from_init/stderr.txt").read_text()
    assert said(done.err, "solver.cpp:289]") == said(recorded, "solver.cpp:289]")
    for name in ("snap_iter_15", "snap_iter_30"):
        assert (files / f"{name}.caffemodel").exists()
        assert (files / f"{name}.solverstate").exists()


def test_test_of_given_weights(here: Run, golden: Callable[[str], Path]) -> None:
    done = here("test", "-model", "net.prototxt", "-weights", "init.caffemodel", "-iterations", "5")
    assert done.status == 0, done.err
    recorded = golden("cli/test_from_init/stderr.txt").read_text()
    assert said(done.err, "caffe.cpp:281]") == said(recorded, "caffe.cpp:281]")


def test_time_has_the_recorded_lines(here: Run, golden: Callable[[str], Path]) -> None:
    done = here("time", "-model", "net.prototxt", "-iterations", "3")
    assert done.status == 0, done.err

    def shape(log: str) -> list[str]:
        return [re.sub(r"-?\d\S*(?= ms|$)", "#", line) for line in said(log, "caffe.cpp:351]")]

    assert shape(done.err) == shape(golden("cli/time/stderr.txt").read_text())


def test_debug_info_has_the_recorded_lines(here: Run, golden: Callable[[str], Path]) -> None:
    done = here("train", "-solver", "debug_solver.prototxt")
    assert done.status == 0, done.err

    def shape(log: str) -> list[str]:
        return [re.sub(r"(= |: |\(|, )-?\d[\d.e-]*", r"\1#", line) for line in said(log, "solver.cpp:289]")]

    assert shape(done.err) == shape(golden("cli/train_debug_info/stderr.txt").read_text())
