"""The folder of a run."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch

from caffelite.logs import RunRecord, find_run, read
from caffelite.logs.records import BestKept, Note, Snapshotted
from caffelite.logs.run_record import run_folder, sessions


def test_a_session_says_what_repeats_it(tmp_path: Path) -> None:
    record = RunRecord(tmp_path / "deep" / "lenet_run")
    record.session(["caffelite", "train", "--solver", "s.prototxt"], 7, solver="s.prototxt")
    record.write({"solver.prototxt": "base_lr: 0.1\n"})
    record.close()
    [session] = sessions(record.folder)
    assert session["command"][1] == "train"
    assert session["seed"] == 7
    assert session["solver"] == "s.prototxt"
    assert session["versions"]["python"] == platform.python_version()
    assert {"torch", "numpy", "protobuf"} <= session["versions"].keys()
    assert session["arithmetic"]["threads"] == torch.get_num_threads()
    assert session["arithmetic"]["instructions"] in torch.__config__.show()
    assert (record.folder / "solver.prototxt").read_text() == "base_lr: 0.1\n"


def test_resuming_appends_and_a_new_run_sets_the_old_log_aside(tmp_path: Path) -> None:
    for text, resumed in (("first", False), ("second", True), ("third", False)):
        record = RunRecord(tmp_path, resumed=resumed)
        record(Note(text))
        record.close()
    assert [timed.record for timed in read(tmp_path)] == [Note("third")]
    [old] = tmp_path.glob("log.*.jsonl")
    assert [json.loads(line)["text"] for line in old.read_text().splitlines()] == ["first", "second"]


def test_the_run_of_a_snapshot_is_found(tmp_path: Path) -> None:
    snapshot = tmp_path / "lenet_iter_100.caffemodel"
    assert run_folder(snapshot) == tmp_path / "lenet_run"
    assert find_run(snapshot) is None
    other = RunRecord(tmp_path / "elsewhere")
    other.session(["caffelite"], 1)
    other(Snapshotted(100, "snapshots/lenet_iter_100.caffemodel", "snapshots/lenet_iter_100.solverstate"))
    other.close()
    assert find_run(snapshot) == other.folder
    assert find_run(tmp_path / "lenet_iter_200.caffemodel") is None
    named = RunRecord(tmp_path / "lenet_run")
    named.session(["caffelite"], 1)
    named.close()
    assert find_run(snapshot) == named.folder


def test_the_run_of_the_best_weights_is_found(tmp_path: Path) -> None:
    best = tmp_path / "lenet_best.caffemodel.h5"
    for name in ("lenet_best.caffemodel", "lenet_best.caffemodel.h5", "lenet_best_of_0a1b.caffemodel"):
        assert run_folder(tmp_path / name) == tmp_path / "lenet_run"
    assert run_folder(tmp_path / "lenet_bestest.caffemodel") is None
    record = RunRecord(tmp_path / "elsewhere")
    record.session(["caffelite"], 1)
    record(BestKept(500, "accuracy", 0.5, "snapshots/lenet_best.caffemodel.h5"))
    record.close()
    assert find_run(best) == record.folder
    assert find_run(tmp_path / "lenet_best.caffemodel") is None


def test_what_is_set_aside_within_a_second_is_all_kept(tmp_path: Path) -> None:
    for number in range(4):
        record = RunRecord(tmp_path)
        record(Note(str(number)))
        record.close()
        record.write({"solver.prototxt": f"max_iter: {number}\n"})
    assert len(list(tmp_path.glob("log*.jsonl"))) == 4
    assert len(list(tmp_path.glob("solver*.prototxt"))) == 4


def test_sessions_that_a_crash_cut_off_are_passed_over(tmp_path: Path) -> None:
    record = RunRecord(tmp_path)
    record.session(["caffelite"], 1)
    with (tmp_path / "sessions.jsonl").open("ab") as file:
        file.write(b"[1]\n" + '{"command": ["ü'.encode()[:-1])
    record.session(["caffelite"], 2)
    record.close()
    assert [session["seed"] for session in sessions(tmp_path)] == [1, 2]
