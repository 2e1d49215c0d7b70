"""Logs as tables.  The expected rows are worked out by hand from the rules of the original's `parse_log.py`."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from caffelite.errors import DataError, UsageError
from caffelite.logs.glog import GlogText
from caffelite.logs.jsonl import JsonLines
from caffelite.logs.records import Displayed, Note, OutputValue, Record, Solving, Tested, TestStarted
from caffelite.tools.parse_log import Row, Rows, parse_log, save_csv_files

RUN = """\
Log file created at: 2023/12/31 23:59:00
I1231 23:59:00.000000  7 solver.cpp:45] Initializing solver from parameters:
base_lr: 0.1
I1231 23:59:30.250000  7 solver.cpp:289] Solving tiny
I1231 23:59:30.250000  7 solver.cpp:290] Learning Rate Policy: step
I1231 23:59:31.000000  7 solver.cpp:347] Iteration 0, Testing net (#0)
I1231 23:59:31.250000  7 solver.cpp:414]     Test net output #0: acc = 0.25
I1231 23:59:31.250001  7 solver.cpp:414]     Test net output #1: loss = 2.5 (* 1 = 2.5 loss)
I1231 23:59:32.250000  7 solver.cpp:239] Iteration 0 (5.6e+31 iter/s, 0s/5 iters), loss = 2.75
I1231 23:59:32.250000  7 solver.cpp:258]     Train net output #0: loss = 2.75 (* 1 = 2.75 loss)
I1231 23:59:32.250000  7 sgd_solver.cpp:112] Iteration 0, lr = 0.1
I1231 23:59:34.250000  7 solver.cpp:239] Iteration 5 (5 iter/s, 0s/5 iters), loss = 2
I1231 23:59:34.250000  7 solver.cpp:258]     Train net output #0: loss = 1.5 (* 1 = 1.5 loss)
I1231 23:59:34.250000  7 sgd_solver.cpp:112] Iteration 5, lr = 1e-05
I0101 00:00:30.250000  7 solver.cpp:347] Iteration 10, Testing net (#0)
I0101 00:00:30.250000  7 solver.cpp:414]     Test net output #0: acc = 0.75
I0101 00:00:30.250000  7 solver.cpp:414]     Test net output #1: loss = 6.25e-07 (* 1 = 6.25e-07 loss)
"""
TRAIN = [
    {"NumIters": 0.0, "Seconds": 2.0, "LearningRate": 0.1, "loss": 2.75},
    {"NumIters": 5.0, "Seconds": 4.0, "LearningRate": 0.1, "loss": 1.5},
]
TEST = [
    {"NumIters": 0.0, "Seconds": 1.0, "LearningRate": 1e-05, "acc": 0.25, "loss": 2.5},
    {"NumIters": 10.0, "Seconds": 60.0, "LearningRate": 1e-05, "acc": 0.75, "loss": 6.25e-07},
]

Make = Callable[[Sequence[str]], Path]


@pytest.fixture
def log(tmp_path: Path) -> Make:
    """A log of these messages, a second apart."""

    def make(messages: Sequence[str]) -> Path:
        path = tmp_path / "x.log"
        lines = [
            f"I0301 12:{second // 60:02d}:{second % 60:02d}.000000  7 solver.cpp:1] {text}\n"
            for second, text in enumerate(messages)
        ]
        path.write_text("".join(lines))
        return path

    return make


def column(rows: Rows, name: str) -> list[float]:
    return [row[name] for row in rows]


def test_the_rows_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text(RUN)
    train, test = parse_log(tmp_path / "x.log")
    assert (train, test) == (TRAIN, TEST)
    assert [list(row) for row in test] == [["NumIters", "Seconds", "LearningRate", "acc", "loss"]] * 2


def test_the_files_are_those_of_pythons_csv(tmp_path: Path) -> None:
    written = save_csv_files("logs/x.log", tmp_path / "made" / "here", TRAIN, TEST)
    assert written == {tmp_path / "made" / "here" / f"x.log.{kind}": 2 for kind in ("train", "test")}
    assert (tmp_path / "made" / "here" / "x.log.test").read_bytes() == (
        b"NumIters,Seconds,LearningRate,acc,loss\r\n0.0,1.0,1e-05,0.25,2.5\r\n10.0,60.0,1e-05,0.75,6.25e-07\r\n"
    )
    save_csv_files("x.log", tmp_path / "made" / "here", [{"a": math.nan, "b": 0.1}], [], delimiter="\t")
    assert (tmp_path / "made" / "here" / "x.log.train").read_bytes() == b"a\tb\r\nnan\t0.1\r\n"
    assert sorted(file.name for file in (tmp_path / "made" / "here").iterdir()) == ["x.log.test", "x.log.train"]


def test_no_file_is_written_for_no_rows(tmp_path: Path) -> None:
    assert save_csv_files("x.log", tmp_path, TRAIN, []) == {tmp_path / "x.log.train": 2, tmp_path / "x.log.test": 0}
    assert [file.name for file in tmp_path.iterdir()] == ["x.log.train"]


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_delimiters_that_csv_does_not_take(delimiter: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one character other than a quotation mark"):
        save_csv_files("x.log", tmp_path, TRAIN, TEST, delimiter)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "x.log.train").mkdir()
    with pytest.raises(DataError, match="is a folder; it is left alone"):
        save_csv_files("x.log", tmp_path, TRAIN, TEST)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="cannot write to"):
        save_csv_files("x.log", tmp_path / "file", TRAIN, TEST)


def test_the_originals_recorded_log(golden: Callable[[str], Path], tmp_path: Path) -> None:
    text = golden("cli/train_from_init/stderr.txt").read_text()
    (tmp_path / "x.log").write_text(text.replace("MMDD HH:MM:SS.uuuuuu TID", "0301 12:00:00.000000  9525"))
    train, test = parse_log(tmp_path / "x.log")
    assert column(train, "NumIters") == [0, 5, 10, 15, 20, 25]
    assert column(train, "LearningRate") == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    assert column(train, "loss")[:2] == [1.38125, 0.758512]
    assert column(test, "NumIters") == [0, 10, 20, 30]
    assert column(test, "LearningRate") == [0.1, 0.1, 0.05, 0.025]
    assert column(test, "acc") == [0.25, 0.75, 0.875, 0.8125]


@pytest.mark.parametrize("year", ["2024", ""])
def test_logs_that_name_the_year_in_every_line_or_in_none(year: str, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text(
        f"I{year}0229 12:00:00.000000 7 solver.cpp:289] Solving a\n"
        f"I{year}0229 12:00:01.500000 7 solver.cpp:239] Iteration 0, loss = 1\n"
        f"I{year}0301 12:00:01.500000 7 solver.cpp:258]     Train net output #0: loss = 1\n"
    )
    assert column(parse_log(tmp_path / "x.log")[0], "Seconds") == [86401.5]


def test_only_lines_with_a_prefix_behind_solving_count(tmp_path: Path) -> None:
    """Displays as Caffe had them in 2014."""
    (tmp_path / "x.log").write_text(
        "I0301 12:00:00.000000 7 solver.cpp:66] Iteration 3, lr = 7\n"
        "I0301 12:00:00.000000 7 solver.cpp:84]     Train net output #0: early = 1\n"
        "I0301 12:00:01.000000 7 solver.cpp:44] Solving a\n"
        "Iteration 2\n"
        "\n"
        "I0301 12:00:02.000000 7 solver.cpp:66] Iteration 0, loss = 3\n"
        "    Train net output #0: loss = 9\n"
        "I0301 12:00:03.000000 7 solver.cpp:84]     Train net output #0: loss = 2 (* 1 = 2 loss)\n"
    )
    train, _ = parse_log(tmp_path / "x.log")
    assert str(train) == "[{'NumIters': 0.0, 'Seconds': 2.0, 'LearningRate': nan, 'loss': 2.0}]"


def outputs(kind: str, *values: str) -> list[str]:
    return [f"    {kind} net output #{number}: {value}" for number, value in enumerate(values)]


def a_round(iteration: int, *values: str, net: int = 0) -> list[str]:
    return [f"Iteration {iteration}, Testing net (#{net})", *outputs("Test", *values)]


def test_a_table_of_one_row_is_a_table(log: Make) -> None:
    _, test = parse_log(log(["Solving a", *a_round(0, "acc = 0.5", "loss = 1")]))
    assert [(row["acc"], row["loss"]) for row in test] == [(0.5, 1)]


def test_a_row_that_the_log_breaks_off_in_is_left_out(log: Make) -> None:
    _, test = parse_log(log(["Solving a", *a_round(0, "acc = 0.5", "loss = 1"), *a_round(5, "acc = 0.6")]))
    assert column(test, "NumIters") == [0]


def test_what_is_not_finite_is_a_value(log: Make, tmp_path: Path) -> None:
    values = ["2", "nan", "-nan", "inf", "-inf"]
    shown = [
        line for n, value in enumerate(values) for line in [f"Iteration {n}", *outputs("Train", f"loss = {value}")]
    ]
    train, _ = parse_log(log(["Solving a", *shown]))
    assert [str(value) for value in column(train, "loss")] == ["2.0", "nan", "nan", "inf", "-inf"]


def test_a_log_without_solving_has_no_rows(log: Make) -> None:
    assert parse_log(log(["Iteration 0, loss = 3", *outputs("Train", "loss = 2")])) == ([], [])


TWO_NETS = [
    "Solving a",
    *(
        line
        for iteration in (0, 10)
        for net in (0, 1)
        for line in a_round(iteration, f"acc = 0.{iteration}{net}", f"loss = {net}", net=net)
    ),
]


def test_two_nets_with_outputs_of_one_name_as_the_original_has_them(log: Make) -> None:
    """The first row ends with the iteration, and holds what came last; later ones are whole after each net."""
    _, test = parse_log(log(TWO_NETS))
    assert column(test, "NumIters") == [0, 10, 10]
    assert column(test, "acc") == [0.01, 0.1, 0.101]


def test_two_nets_with_outputs_of_one_name_in_columns_of_their_own(log: Make) -> None:
    _, test = parse_log(log(TWO_NETS), every_value=True)
    assert [list(row)[3:] for row in test] == [["acc", "loss", "acc #1", "loss #1"]] * 2
    assert [list(row.values())[3:] for row in test] == [[0, 0, 0.01, 1], [0.1, 0, 0.101, 1]]


def test_an_output_of_several_values(log: Make) -> None:
    path = log(["Solving a", *a_round(0, "p = 1", "p = 2", "p = 3"), *a_round(9, "p = 4", "p = 5", "p = 6")])
    _, test = parse_log(path)
    assert column(test, "p") == [3, 4, 5, 6]
    _, test = parse_log(path, every_value=True)
    assert [list(row.items())[3:] for row in test] == [
        [("p", 1), ("p #1", 2), ("p #2", 3)],
        [("p", 4), ("p #1", 5), ("p #2", 6)],
    ]


def displayed(iteration: int, loss: int, rate: float) -> list[str]:
    return [f"Iteration {iteration} (1 iter/s, 1s/5 iters), loss = 1", *outputs("Train", f"loss = {loss}"),
            f"Iteration {iteration}, lr = {rate}"]  # fmt: skip


def test_a_resumed_run_is_there_twice_or_as_it_ended(log: Make) -> None:
    """A snapshot at 5, killed after 10; the display of 5 comes again, three seconds after the start."""
    first = ["Solving a", *displayed(0, 10, 0.3), *displayed(5, 11, 0.2), *displayed(10, 12, 0.1)]
    second = ["Resuming from a_iter_5.solverstate", "Solving a", "Learning Rate Policy: step"]
    path = log(
        [first[0], "Learning Rate Policy: step", *first[1:], *second, *displayed(5, 21, 0.2), *displayed(10, 22, 0.1)]
    )
    train, _ = parse_log(path)
    assert column(train, "NumIters") == [0, 5, 10, 5, 10]
    assert column(train, "Seconds") == [3, 6, 9, 15, 18]
    assert column(train, "LearningRate") == [0.3, 0.3, 0.2, 0.1, 0.2]
    train, _ = parse_log(path, final=True)
    assert column(train, "NumIters") == [0, 5, 10]
    assert column(train, "loss") == [10, 21, 22]
    assert column(train, "Seconds") == [3, 9, 12]  # it was at 5 after 6 seconds, and showed that again 3 seconds later
    assert column(train, "LearningRate") == [0.3, 0.3, 0.2]


RECORDS: list[Record] = [
    Note("Initializing net from parameters: \nlayer { name: 'Solving' }"),
    Solving("a", "step", 0, 20),
    TestStarted(0, 0),
    Tested(0, 0, (OutputValue(0, "acc", 0.123456789), OutputValue(1, "loss", 2.0, 1.0))),
    Displayed(0, 1.0, 0.1, 0.0, 0, 10, (OutputValue(0, "loss", 1.5, 1.0),)),
    Displayed(10, 1.0, 0.05, 1.0, 10, 10, (OutputValue(0, "loss", 0.5, 1.0),)),
]


def test_json_lines_and_run_folders_give_what_the_text_gives(tmp_path: Path) -> None:
    moments = [1700000000 + 2.5 * number for number in range(len(RECORDS))]
    times = iter(moments)
    (tmp_path / "x_run").mkdir()
    with (tmp_path / "text.log").open("w") as stream:
        text, lines = GlogText(stream, clock=lambda: moment), JsonLines(tmp_path / "x_run" / "log.jsonl")
        for record in RECORDS:
            moment = next(times)
            text(record)
            lines(record, moment)
        lines.close()
    train, test = parse_log(tmp_path / "text.log")
    assert test == [dict[str, float](test[0], NumIters=0, Seconds=5, acc=0.123457, loss=2)]
    assert [list(row.values()) for row in train] == [[0, 7.5, 0.1, 1.5], [10, 10, 0.1, 0.5]]
    for path in (tmp_path / "x_run", tmp_path / "x_run" / "log.jsonl"):
        assert str(parse_log(path)) == str((train, test))  # as text: NaN is not equal to itself


def test_rows_that_have_more_columns_than_the_first_are_written_whole(log: Make, tmp_path: Path) -> None:
    rows: list[Row] = [{"NumIters": 0, "a": 1}, {"NumIters": 5, "b": 2}]
    save_csv_files("x", tmp_path, rows, [])
    with (tmp_path / "x.train").open(newline="") as file:
        assert list(csv.reader(file)) == [["NumIters", "a", "b"], ["0", "1", ""], ["5", "", "2"]]


def test_what_is_no_log_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello\n")
    with pytest.raises(DataError, match="holds no line of a log"):
        parse_log(tmp_path / "x.txt")
    with pytest.raises(DataError, match="cannot read log"):
        parse_log(tmp_path / "none.log")
