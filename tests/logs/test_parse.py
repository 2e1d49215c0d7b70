"""Logs read back: the original's, ours, and JSON lines."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.errors import DataError
from caffelite.logs import parse_text, read, read_text
from caffelite.logs.glog import GlogText
from caffelite.logs.jsonl import JsonLines, decode, encode
from caffelite.logs.records import (
    BestKept,
    Displayed,
    Finished,
    LastLoss,
    Note,
    NotFinite,
    OutputValue,
    Record,
    Snapshotted,
    Solving,
    Tested,
    TestStarted,
    emit,
)
from caffelite.logs.text import number

# What six digits keep of a number.
shown = st.floats(-1e30, 1e30).map(lambda value: float(number(value)))
names = st.text("abcdefghijklmnop_/0123456789-", min_size=1)
weights = st.sampled_from([0.0, 1.0, 0.5, 2.0])


@st.composite
def outputs(draw: st.DrawFn) -> tuple[OutputValue, ...]:
    values = draw(st.lists(st.tuples(names, shown, weights), min_size=1, max_size=3))
    return tuple(OutputValue(index, *value) for index, value in enumerate(values))


@st.composite
def runs(draw: st.DrawFn) -> list[Record]:
    """The records of a run, in the order a solver gives them."""
    interval = draw(st.integers(1, 500))
    last = interval * draw(st.integers(0, 4))
    net = draw(names)
    records: list[Record] = [
        Note(f"Initializing solver from parameters: \nmax_iter: {last}", source="solver.cpp:45"),
        Solving(net, draw(st.sampled_from(["fixed", "inv"])), 0, last),
    ]
    for iteration in range(0, last, interval):
        if draw(st.booleans()):
            loss = draw(st.none() | shown)
            records += [TestStarted(iteration, 0), Tested(iteration, 0, draw(outputs()), loss)]
            if draw(st.booleans()):
                records.append(BestKept(iteration, draw(names), draw(shown), "x y_best.caffemodel"))
        seconds = float(number(draw(st.floats(0.001, 1e4))))
        shift = interval if iteration else 0
        records.append(Displayed(iteration, draw(shown), draw(shown), seconds, shift, interval, draw(outputs())))
        if draw(st.booleans()):
            records.append(Snapshotted(iteration, f"x_iter_{iteration}.caffemodel", f"x_iter_{iteration}.solverstate"))
        if draw(st.booleans()):
            records.append(Note("something is odd", "warning", "feed.py:17"))
    if draw(st.booleans()):
        loss = draw(shown)
        return [*records, LastLoss(last, loss), Finished(last, loss)]
    stop = Snapshotted(last, f"x_iter_{last}.caffemodel.h5", f"x_iter_{last}.solverstate.h5")
    return [*records, stop, Finished(last, stopped=True)]


@given(runs())
def test_records_to_text_and_back(run: list[Record]) -> None:
    stream = io.StringIO()
    log = GlogText(stream)
    for record in run:
        log(record)
    assert [timed.record for timed in parse_text(stream.getvalue().splitlines())] == run


@given(runs())
def test_json_lines_are_the_lines_of_the_text(run: list[Record]) -> None:
    with TemporaryDirectory() as folder:
        text, lines, moment = Path(folder) / "x.log", Path(folder) / "log.jsonl", 1_000_000_000.25
        with text.open("w") as stream, closing(JsonLines(lines, clock=lambda: moment)) as as_json:
            stream.write("Log file created at: 2001/09/09 00:00:00\n")
            as_text = GlogText(stream, clock=lambda: moment)
            for record in run:
                emit([as_text, as_json], record)
                moment += 3600 * 24 * 20
        assert list(read_text(lines)) == list(read_text(text))[1:] == list(read_text(Path(folder)))


def test_what_is_not_finite_goes_to_json_and_back_and_has_no_line_of_its_own(tmp_path: Path) -> None:
    path, stream = tmp_path / "log.jsonl", io.StringIO()
    found = [
        NotFinite(3, "loss", 0.01, -math.inf, "log", 'top "y"'),
        NotFinite(2, "weights", 0.01, None, "ip", "weight blob 0"),
    ]
    log = JsonLines(path)
    for record in found:
        log(record)
        GlogText(stream)(record)
    log.close()
    assert [timed.record for timed in read(path)] == found
    assert stream.getvalue() == ""


@given(runs())
def test_records_to_json_and_back(run: list[Record]) -> None:
    for record in run:
        assert decode(json.loads(json.dumps(encode(record), allow_nan=False))) == record


def stamped(path: Path) -> list[str]:
    """A recorded log with times in it, one second apart from 23:59:58 on the last of December."""
    result, second = [], -2
    for line in path.read_text().splitlines():
        if "MMDD HH:MM:SS.uuuuuu TID" in line:
            time = (
                "1231 23:59:" + f"{60 + second}.500000"
                if second < 0
                else f"0101 00:{second // 60:02d}:{second % 60:02d}.500000"
            )
            line = line.replace("MMDD HH:MM:SS.uuuuuu TID", f"{time}  9525")
            second += 1
        result.append(line)
    return result


def test_the_original_s_log_is_read(golden: Callable[[str], Path]) -> None:
    found = parse_text(stamped(golden("cli/train_from_init/stderr.txt")))
    records = [timed.record for timed in found if not isinstance(timed.record, Note)]
    assert records[0] == Solving("tiny", "step", 0, 30)
    displays = [record for record in records if isinstance(record, Displayed)]
    assert [(d.iteration, d.loss, d.rate, d.interval) for d in displays] == [
        (0, 1.38125, 0.1, 0),
        (5, 0.905888, 0.1, 5),
        (10, 0.614611, 0.05, 5),
        (15, 0.424596, 0.05, 5),
        (20, 0.294896, 0.025, 5),
        (25, 0.216414, 0.025, 5),
    ]
    assert displays[1].outputs == (OutputValue(0, "loss", 0.758512, 1.0),)
    tests = [record for record in records if isinstance(record, Tested)]
    assert [test.outputs[0].value for test in tests] == [0.25, 0.75, 0.875, 0.8125]
    assert [record.iteration for record in records if isinstance(record, Snapshotted)] == [15, 30]
    assert records[-1] == Finished(30, 0.159954)


def test_a_resumed_log_begins_where_it_went_on(golden: Callable[[str], Path]) -> None:
    found = [timed.record for timed in parse_text(stamped(golden("cli/resume/stderr.txt")))]
    assert Solving("tiny", "step", 15, 30) in found


def test_seconds_count_from_solving_and_over_new_year(golden: Callable[[str], Path]) -> None:
    found = parse_text(stamped(golden("cli/train_from_init/stderr.txt")))
    assert next(timed.seconds for timed in found if isinstance(timed.record, Solving)) == 0
    moments = [timed.seconds for timed in found]
    assert moments == sorted(moments)
    assert moments[0] < 0
    assert moments[-1] - moments[0] < 600


def test_prefix_with_a_year_and_leap_day() -> None:
    lines = [
        "I20240229 12:00:00.000000 7 solver.cpp:289] Solving a",
        "I20240229 12:00:00.000000 7 solver.cpp:290] Learning Rate Policy: fixed",
        "I20240301 12:00:00.000000 7 solver.cpp:332] Optimization Done.",
    ]
    assert [timed.seconds for timed in parse_text(lines)] == [0, 86400]
    without_year = [line.replace("I2024", "I") for line in lines]
    assert [timed.seconds for timed in parse_text(without_year, year=2026)] == [0, 86400]


def test_a_cut_off_display_keeps_what_it_has() -> None:
    lines = ["I1121 07:06:29.612970  9525 solver.cpp:239] Iteration 300 (39.604 iter/s, 2.525s/100 iters), loss = 0.17"]
    [timed] = parse_text(lines)
    assert isinstance(timed.record, Displayed)
    assert timed.record.interval == 100
    assert math.isnan(timed.record.rate)


def test_json_lines_take_non_finite_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = JsonLines(path, clock=lambda: 12.5)
    display = Displayed(1, math.inf, -math.inf, 0.5, 1, 1, (OutputValue(0, "NaN", math.nan),))
    log(display)
    log.close()
    [line] = path.read_text().splitlines()
    values = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (values["time"], values["type"], values["loss"]) == (12.5, "Displayed", "Infinity")
    [timed] = read(path)
    assert isinstance(timed.record, Displayed)
    assert math.isnan(timed.record.outputs[0].value)
    assert replace(timed.record, outputs=()) == replace(display, outputs=())


def test_json_lines_go_on_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"time": 1, "type": "Note", "text": "a"}\n{"time": 2, "ty')
    log = JsonLines(path)
    log(Note("b"))
    log.close()
    assert [timed.record for timed in read(path)] == [Note("a"), Note("b")]


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello\n")
    with pytest.raises(DataError, match="holds no line of a log"):
        read(tmp_path / "x.txt")
    with pytest.raises(DataError, match="cannot read log"):
        read(tmp_path / "y.txt")
    with pytest.raises(DataError, match="is not a run's folder"):
        read(tmp_path)


def test_year_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(
        "I0228 00:00:00.000000 7 solver.cpp:290] Learning Rate Policy: fixed\n"
        "I0301 00:00:00.000000 7 solver.cpp:332] Optimization Done.\n"
    )
    for year, days in ((2024, 2), (2025, 1)):
        moment = (year - 1970) * 365.25 * 86400 + 100 * 86400
        os.utime(path, (moment, moment))
        assert read(path)[-1].seconds == days * 86400
