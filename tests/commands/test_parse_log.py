"""`parse-log`: the tables of a run from its log on stderr and from its folder."""

from __future__ import annotations

import csv
from pathlib import Path

from .conftest import Run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_and_its_log_give_the_same_tables(here: Run, files: Path) -> None:
    (files / "x.log").write_text(here("train", "--solver", "solver.prototxt", "--weights", "init.caffemodel").err)
    assert here("parse-log", "x.log", ".", "--verbose").out == "x.log.train: 6 rows\nx.log.test: 4 rows\n"
    assert here("parse_log", "snap_run/", "made/", "--delimiter", ",").out == ""
    for kind, iterations in (("train", [0, 5, 10, 15, 20, 25]), ("test", [0, 10, 20, 30])):
        text, record = rows(files / f"x.log.{kind}"), rows(files / "made" / f"snap_run.{kind}")
        assert [float(row["NumIters"]) for row in text] == iterations
        for one, other in zip(text, record, strict=True):
            assert abs(float(one.pop("Seconds")) - float(other.pop("Seconds"))) < 1
            assert one == other


def test_what_cannot_be_made_is_told(here: Run, files: Path) -> None:
    done = here("parse-log", "solver.prototxt", ".")
    assert done.status == 1 and "holds no line of a log" in done.err
    (files / "x.log").write_text("I0301 12:00:00.000000  7 solver.cpp:289] Solving a\n")
    done = here("parse-log", "x.log", ".")
    assert done.status == 1 and '"x.log" shows no output of a net: nothing is written' in done.err
    done = here("parse-log", "x.log", ".", "--delimiter", "tab")
    assert done.status == 1
    done = here("parse-log", "x.log")
    assert done.status == 2 and "OUTPUT_DIR" in done.err


def test_what_is_not_written_is_said_if_asked(here: Run, files: Path) -> None:
    (files / "x.log").write_text(
        "I0301 12:00:00.000000  7 solver.cpp:289] Solving a\n"
        "I0301 12:00:01.000000  7 solver.cpp:347] Iteration 0, Testing net (#0)\n"
        "I0301 12:00:02.000000  7 solver.cpp:414]     Test net output #0: acc = 0.5\n"
    )
    said = here("parse-log", "x.log", ".", "--verbose", "--final", "--every-value").out
    assert said == "x.log.train: not written, there are no rows\nx.log.test: 1 rows\n"
    assert (files / "x.log.test").read_bytes() == b"NumIters,Seconds,LearningRate,acc\r\n0.0,2.0,nan,0.5\r\n"
