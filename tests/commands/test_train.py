"""Training runs: records, resuming, interrupting, and what is refused."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from caffelite.logs import read
from caffelite.logs.records import Displayed, Finished, Note, NotFinite, Snapshotted, Solving
from tests.conftest import REPO

from .conftest import Run


def test_a_run_keeps_a_record(here: Run, files: Path) -> None:
    done = here("train", "-solver", "solver.prototxt", "--set", "max_iter=20", "--logtostderr=1")
    assert done.status == 0, done.err
    run = files / "snap_run"
    records = [timed.record for timed in read(run)]
    assert [record.iteration for record in records if isinstance(record, Displayed)] == [0, 5, 10, 15]
    assert [record.iteration for record in records if isinstance(record, Snapshotted)] == [15, 20]
    assert isinstance(records[-2], Finished)
    session = json.loads((run / "sessions.jsonl").read_text())
    assert session["seed"] == 5
    assert session["command"][:3] == ["caffelite", "train", "-solver"]
    assert "max_iter: 20" in (run / "solver.prototxt").read_text()
    assert "phase: TRAIN" in (run / "train.prototxt").read_text()
    assert '"Accuracy"' in (run / "test_0.prototxt").read_text()

    scored = here("test", "--weights", "snap_iter_20.caffemodel", "--iterations", "2")
    assert scored.status == 0, scored.err
    assert "] acc = " in scored.err

    resumed = here("train", "-solver", "solver.prototxt", "--snapshot", "snap_iter_20.solverstate")
    assert resumed.status == 0, resumed.err
    records = [timed.record for timed in read(run)]
    assert [record.iteration for record in records if isinstance(record, Solving)] == [0, 20]
    assert len((run / "sessions.jsonl").read_text().splitlines()) == 2


def test_a_resumed_run_leaves_the_weights_of_the_solver_file_alone(here: Run, files: Path) -> None:
    with (files / "solver.prototxt").open("a") as file:
        file.write('weights: "init.caffemodel"\n')
    first = here("train", "-solver", "solver.prototxt", "--set", "max_iter=15")
    assert "Finetuning from init.caffemodel" in first.err
    resumed = here("train", "-solver", "solver.prototxt", "-snapshot", "snap_iter_15.solverstate")
    assert resumed.status == 0, resumed.err
    assert "Finetuning" not in resumed.err


def test_run_dir_and_log_dir(here: Run, files: Path) -> None:
    (files / "logs").mkdir()
    done = here("train", "-solver", "solver.prototxt", "--run-dir", "kept", "--log_dir", "logs", "--set", "max_iter=1")
    assert done.status == 0, done.err
    assert (files / "kept" / "log.jsonl").exists()
    assert not (files / "snap_run").exists()
    assert "Solving tiny" in (files / "logs" / "caffelite.INFO").read_text()


def test_a_resumed_run_goes_on_with_its_seed(here: Run, files: Path) -> None:
    text = (files / "solver.prototxt").read_text().replace("random_seed", "# random_seed")
    (files / "solver.prototxt").write_text(text)
    assert here("train", "-solver", "solver.prototxt", "--set", "max_iter=15").status == 0
    assert here("train", "-solver", "solver.prototxt", "-snapshot", "snap_iter_15.solverstate").status == 0
    seeds = [json.loads(line)["seed"] for line in (files / "snap_run" / "sessions.jsonl").read_text().splitlines()]
    assert seeds[0] == seeds[1]


def test_finetuning_says_which_layers_were_loaded(here: Run) -> None:
    done = here("train", "-solver", "fine_solver.prototxt", "-weights", "init.caffemodel", "--set", "max_iter=1")
    assert done.status == 0, done.err
    table = [line.split("] ", 1)[1].split() for line in done.err.splitlines() if "net.cpp:747]" in line]
    assert ["ip1", "loaded", "5x6,", "5"] in table
    assert ["ip2", "not", "in", "the", "net", "ignored"] in table
    assert [row[:5] for row in table if row[0] == "ip2_new"] == [["ip2_new", "not", "in", "the", "file"]]


def test_weights_of_another_shape_are_refused_with_both_shapes(here: Run) -> None:
    done = here("train", "-solver", "wide_solver.prototxt", "-weights", "init.caffemodel")
    assert done.status == 1
    assert "(5, 6)" in done.err
    assert "(9, 6)" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("train", 2, "train needs a solver: --solver FILE"),
        ("train -solver solver.prototxt -snapshot a -weights b", 2, "--snapshot and --weights exclude each other"),
        ("train -solver solver.prototxt -snapshot init.caffemodel", 2, "init.caffemodel holds weights only"),
        ("train -solver solver.prototxt -sigint_effect die", 2, 'invalid signal effect "die"'),
        ("train -solver solver.prototxt -gpu x", 2, '--gpu takes the number of a GPU or "all"'),
        ("train solver.prototxt", 2, "did you mean --solver solver.prototxt?"),
        ("time net.prototxt", 2, "did you mean --model net.prototxt?"),
        ("device_query 0", 2, 'takes options only, not "0"'),
        ("train -slver solver.prototxt", 2, "no such option --slver, did you mean --solver?"),
        ("train -solver nope.prototxt", 1, "nope.prototxt: no such file"),
        ("train -solver solver.prototxt -snapshot none.solverstate", 1, "none.solverstate"),
        ("train -solver solver.prototxt --set base_lrr=1", 1, "base_lr"),
        ("test -model net.prototxt", 2, "test needs trained weights"),
        ("test -weights none.caffemodel", 1, "none.caffemodel: no such file"),
        ("test -weights init.caffemodel", 2, "--model train_test.prototxt"),
        ("time -model net.prototxt -phase FOO", 2, '--phase must be TRAIN or TEST, not "FOO"'),
        ("time -model net.prototxt -iterations 0", 2, "0 is not in the range"),
    ],
)
def test_what_is_refused(here: Run, arguments: str, status: int, message: str) -> None:
    done = here(*arguments.split())
    assert message in done.err
    assert done.status == status
    assert "Traceback" not in done.err


def test_a_gpu_that_is_not_there_is_an_error(here: Run) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    for command in (["train", "-solver", "solver.prototxt"], ["time", "-model", "net.prototxt"], ["device_query"]):
        done = here(*command, "-gpu", "0")
        assert done.status == 1
        assert "no CUDA device" in done.err
    done = here("train", "-solver", "solver.prototxt", "--set", "solver_mode=GPU", "--set", "max_iter=1")
    assert done.status == 0, done.err
    assert len([line for line in done.err.splitlines() if line.startswith("W") and "CUDA" in line]) == 1


def start(files: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(REPO / "cli.py"), "train", "-solver", "busy_solver.prototxt", *arguments]
    return subprocess.Popen(command, cwd=files, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"the run ended without saying {text!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_snapshots_and_ends_well(files: Path, number: signal.Signals) -> None:
    process = start(files)
    wait_for(process, "Learning Rate Policy")
    time.sleep(0.3)
    process.send_signal(number)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert "Optimization stopped early." in rest
    assert len(list(files.glob("busy_iter_*.solverstate"))) == 1
    assert isinstance(read(files / "busy_run")[-2].record, Finished)


def test_sighup_snapshots_and_goes_on(files: Path) -> None:
    process = start(files)
    wait_for(process, "Learning Rate Policy")
    process.send_signal(signal.SIGHUP)
    wait_for(process, "Snapshotting solver state")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert len(list(files.glob("busy_iter_*.solverstate"))) == 2


def test_weights_of_another_net_are_not_taken_silently(here: Run, files: Path) -> None:
    other = (files / "net.prototxt").read_text().replace('name: "ip', 'name: "other_ip')
    (files / "other.prototxt").write_text(other)
    done = here("test", "-model", "other.prototxt", "-weights", "init.caffemodel", "-iterations", "1")
    assert done.status == 0, done.err
    assert "no layer of the net got weights from init.caffemodel" in done.err
    assert "other_ip1  not in the file" in done.err


def test_weights_are_scored_from_any_folder(here: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths in the recorded net are relative to the folder in which the run was started."""
    assert here("train", "-solver", "solver.prototxt", "--set", "max_iter=2").status == 0
    at_home = here("test", "-weights", "snap_iter_2.caffemodel", "-iterations", "3")
    assert at_home.status == 0, at_home.err
    (files / "away").mkdir()
    monkeypatch.chdir(files / "away")
    away = here("test", "-weights", "../snap_iter_2.caffemodel", "-iterations", "3")
    assert away.status == 0, away.err
    assert f"Its data is found from {files}" in away.err
    scores = [
        [line.split("] ")[1] for line in done.err.splitlines() if "caffe.cpp:3" in line] for done in (at_home, away)
    ]
    assert scores[0] == scores[1] != []
    assert Path.cwd() == files / "away"


def test_scores_of_no_data_are_called_that(here: Run, files: Path) -> None:
    (files / "deploy.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 } } }\n'
        'layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 5 } }\n'
    )
    done = here("test", "-model", "deploy.prototxt", "-weights", "init.caffemodel", "-iterations", "1")
    assert done.status == 0, done.err
    assert 'nothing fills "data" (Input): these are not scores of any data' in done.err


def test_a_resumed_run_with_nothing_left_to_do_says_so(here: Run) -> None:
    assert here("train", "-solver", "solver.prototxt", "--set", "max_iter=15").status == 0
    arguments = ("train", "-solver", "solver.prototxt", "-snapshot", "snap_iter_15.solverstate", "--set")
    again = here(*arguments, "max_iter=15")
    assert again.status == 0, again.err
    assert "is at iteration 15: with max_iter 15 nothing is left to train" in again.err
    assert "nothing is left" not in here(*arguments, "max_iter=16").err


DIVERGING = ("train", "-solver", "solver.prototxt", "--set", "base_lr=1e30", "--set", "max_iter=20")


def test_a_training_that_diverges_stops_and_says_where(here: Run, files: Path) -> None:
    (files / "logs").mkdir()
    done = here(*DIVERGING, "--log_dir", "logs")
    assert done.status == 1
    *_, first, _, _, help = done.err.splitlines()
    place = 'net.prototxt:31:1: layer "ip2" (InnerProduct): '
    assert first.startswith(f'{place}the loss of iteration 1 is nan; this begins here: top "y" has ')
    assert "the rate was 1e+30: try a smaller base_lr or clip_gradients" in help
    assert help.endswith("; no snapshot was written")
    assert "Traceback" not in done.err
    assert not list(files.glob("snap_iter_*"))
    records = [timed.record for timed in read(files / "snap_run")]
    [found] = [record for record in records if isinstance(record, NotFinite)]
    assert (found.iteration, found.what, found.layer, found.array) == (1, "loss", "ip2", 'top "y"')
    assert isinstance(records[-1], Note)
    assert (records[-1].severity, records[-1].text.splitlines()[0]) == ("error", first)
    logged = [timed.record for timed in read(files / "logs" / "caffelite.INFO")]
    assert logged[-1] == replace(records[-1], source=logged[-1].source)


def test_a_training_that_diverges_may_go_on_with_a_warning(here: Run) -> None:
    done = here(*DIVERGING, "--on-nan=warn")
    assert done.status == 0, done.err
    assert done.err.count("loss = nan") > 1
    warnings = [line for line in done.err.splitlines() if line.startswith("W")]
    assert len(warnings) == 1
    assert 'warning: layer "ip2" (InnerProduct): the loss of iteration 1 is nan; this begins here' in warnings[0]


def test_a_training_that_diverges_is_nobody_s_business_when_told_so(here: Run) -> None:
    done, warned = here(*DIVERGING, "-on_nan", "ignore"), here(*DIVERGING, "-on_nan", "warn")
    assert done.status == 0, done.err
    assert not [line for line in done.err.splitlines() if line.startswith("W")]
    losses = [re.findall(r"(?:Iteration \d+.*)?loss = \S+|acc = \S+", one.err) for one in (done, warned)]
    speed = re.compile(r"\(.*\)")
    assert [speed.sub("", line) for line in losses[0]] == [speed.sub("", line) for line in losses[1]] != []


def test_a_diverged_training_goes_on_from_the_snapshot_it_names(here: Run, files: Path) -> None:
    assert here("train", "-solver", "solver.prototxt", "--set", "max_iter=15").status == 0
    done = here(*DIVERGING, "-snapshot", "snap_iter_15.solverstate")
    assert done.status == 1
    assert "the newest snapshot is snap_iter_15.solverstate" in done.err


def test_a_label_that_is_no_class_ends_training(here: Run, files: Path) -> None:
    for on_nan in ("stop", "warn", "ignore"):
        done = here("train", "-solver", "solver.prototxt", "--set", "layer[ip2].inner_product_param.num_output=2",
                    "--on-nan", on_nan, "--set", "test_initialization=false")  # fmt: skip
        assert done.status == 1
        told = r'layer "loss" \(SoftmaxWithLoss\): label of sample \d must be a class from 0 to 1, got 2'
        assert re.search(told, done.err)
        assert "ignore_label: 2 would leave such labels out" in done.err


def test_scores_that_are_not_finite_are_explained_once(here: Run, files: Path) -> None:
    text = (files / "net.prototxt").read_text()
    log = 'layer { name: "log" type: "Log" bottom: "h" top: "h" }\n'
    (files / "log.prototxt").write_text(text.replace('layer {\n  name: "ip2"', f'{log}layer {{\n  name: "ip2"'))
    done = here("test", "-model", "log.prototxt", "-weights", "init.caffemodel", "-iterations", "3")
    assert done.status == 0, done.err
    warnings = [line for line in done.err.splitlines() if "not finite" in line]
    assert len(warnings) == 1
    assert 'layer "log" (Log): batch 0 has outputs that are not finite; this begins here: top "h" has ' in warnings[0]


def test_flags_of_glog_that_change_nothing_are_taken(here: Run) -> None:
    flags = ["-stderrthreshold=0", "-v", "1", "--logbufsecs=0", "--max_log_size", "10"]
    done = here("train", *flags, "-solver", "solver.prototxt", "--set", "max_iter=1")
    assert done.status == 0, done.err
    assert "stderrthreshold" not in here("train", "--help").out


def test_a_run_without_stderr_trains(files: Path) -> None:
    command = f"exec {sys.executable} {REPO / 'cli.py'} train -solver solver.prototxt --set max_iter=1 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=files).returncode == 0
    assert (files / "snap_iter_1.caffemodel").exists()
