"""`plot`, and the curves it draws."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from caffelite.commands import perform
from caffelite.logs.jsonl import JsonLines
from caffelite.logs.parse import Timed
from caffelite.logs.records import Displayed, LastLoss, OutputValue, Record, Solving, Tested
from caffelite.tools.plot import _names, curves

RUN: list[Record] = [
    Solving("a", "fixed", 0, 20),
    Tested(0, 0, (OutputValue(0, "accuracy", 0.1), OutputValue(1, "loss", 2.3, 1.0))),
    Tested(0, 1, (OutputValue(0, "accuracy", 0.2),)),
    Displayed(0, 2.0, 0.1, 1.0, 0, 10),
    Displayed(10, 1.0, 0.05, 1.0, 10, 10),
    LastLoss(20, 0.5),
]


def test_curves_of_a_log() -> None:
    log = [Timed(2.0 * number, record) for number, record in enumerate(RUN)]
    found = curves("a", log)
    assert (found.loss.xs, found.loss.ys) == ([0, 10, 20], [2.0, 1.0, 0.5])
    assert (found.rate.xs, found.rate.ys) == ([0, 10], [0.1, 0.05])
    assert found.tests.keys() == {"accuracy", "loss", "accuracy #1"}
    assert found.losses == {"loss"}
    assert curves("a", log, "seconds").loss.xs == [6.0, 8.0, 10.0]


def test_a_resumed_run_is_drawn_as_it_went_in_the_end() -> None:
    """Killed at 20 after the snapshot of 10, resumed an hour later: no zigzag, no gap in time."""
    again = [Solving("a", "fixed", 10, 20), Displayed(10, 1.1, 0.05, 0.0, 0, 10), LastLoss(20, 0.7)]
    log = [Timed(2.0 * number, record) for number, record in enumerate(RUN)]
    log += [Timed(3600 + 2.0 * number, record) for number, record in enumerate(again)]
    found = curves("a", log)
    assert (found.loss.xs, found.loss.ys) == ([0, 10, 20], [2.0, 1.1, 0.7])
    assert curves("a", log, "seconds").loss.xs == [6.0, 10.0, 12.0]


def test_logs_of_one_name_are_told_apart() -> None:
    paths = [Path("a/train.log"), Path("b/train.log"), Path("lenet_run/log.jsonl"), Path("c.log")]
    assert _names(paths) == ["a/train.log", "b/train.log", "lenet_run", "c.log"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    sink = JsonLines(path)
    for record in RUN:
        sink(record)
    sink.close()
    return path


@pytest.mark.parametrize(("name", "magic"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml")])
def test_pictures(log: Path, name: str, magic: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    out = log.parent / name
    assert perform(["plot", str(log), str(log), "--out", str(out), "--against", "seconds", "--log-scale"]) == 0
    assert out.read_bytes().startswith(magic)
    assert capsys.readouterr().out == f"drawn: {out}\n"


def test_what_cannot_be_drawn(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["plot", str(log), "--out", str(log.parent / "x.doc")]) == 1
    assert "'doc' is not supported" in capsys.readouterr().err
    log.write_text('{"time": 1, "type": "Note", "text": "hello"}\n')
    assert perform(["plot", str(log)]) == 1
    assert "neither a loss nor a test" in capsys.readouterr().err
    assert perform(["plot", str(log.parent / "none.log")]) == 1
    assert "cannot read log" in capsys.readouterr().err


def test_without_matplotlib_it_says_what_to_install(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert perform(["plot", str(log)]) == 1
    assert "pip install 'caffelite[plot]'" in capsys.readouterr().err
