"""Early stopping, passes over the data, and which snapshots stay, from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from caffelite.logs import read
from caffelite.logs.records import BestKept, Displayed, Finished, Note, Snapshotted, Solving, Tested
from caffelite.snapshot import read_best, read_state, read_weights

from .conftest import Run


def sets(*assignments: str) -> list[str]:
    return [part for assignment in assignments for part in ("--set", assignment)]


STOPPING = [
    "train", "-solver", "solver.prototxt",
    *sets("max_iter=200", "base_lr=0.5", "test_interval=5", "snapshot=5"),
    *sets("early_stop.output=acc", "early_stop.patience=3"),
]  # fmt: skip


def weights(path: Path) -> dict[str, list[bytes]]:
    return {layer.name: [np.asarray(blob).tobytes() for blob in layer.blobs] for layer in read_weights(path).layers}


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_run_ends_early_and_keeps_its_best_weights(here: Run, files: Path, form: str) -> None:
    end = ".h5" if form == "HDF5" else ""
    done = here(*STOPPING, *sets(f"snapshot_format={form}"))
    assert done.status == 0, done.err
    records = [timed.record for timed in read(files / "snap_run")]
    scores = {
        record.iteration: value.value
        for record in records
        if isinstance(record, Tested)
        for value in record.outputs
        if value.name == "acc"
    }
    best = max(scores, key=lambda iteration: (scores[iteration], -iteration))
    last = max(scores)
    # The first test that was as good as the best, and three tests behind it.
    assert (last, len(scores)) == (best + 15, best // 5 + 4)
    kept = [record for record in records if isinstance(record, BestKept)]
    assert (kept[-1].iteration, kept[-1].value) == (best, scores[best])
    assert [record.iteration for record in records if isinstance(record, Snapshotted)][-1] == last
    finished = next(record for record in records if isinstance(record, Finished))
    assert (finished.iteration, finished.stopped) == (last, False)
    assert (
        f"Early stop: Iteration {last}, acc has not become better than {scores[best]:g} (iteration {best}) in 3 tests"
        in (done.err)
    )
    path = f"snap_best.caffemodel{end}"
    assert (
        f"The net has the best weights of the run now: acc = {scores[best]:g} at iteration {best}, {path}" in done.err
    )
    assert weights(files / path) == weights(files / f"snap_iter_{best}.caffemodel{end}")
    assert weights(files / path) != weights(files / f"snap_iter_{last}.caffemodel{end}")
    said = read_best(files / path)
    assert (said.iteration, said.output, said.value) == (best, "acc", scores[best])
    assert said.run == read_state(files / f"snap_iter_{last}.solverstate{end}").run.id
    assert here("test", "-weights", path, "-iterations", "2").status == 0


def test_a_second_run_moves_the_first_one_s_best_aside(here: Run, files: Path) -> None:
    assert here(*STOPPING).status == 0
    before, run = weights(files / "snap_best.caffemodel"), read_best(files / "snap_best.caffemodel").run
    done = here(*STOPPING, *sets("random_seed=6"))
    assert done.status == 0, done.err
    aside = files / f"snap_best_of_{run}.caffemodel"
    assert [line for line in done.err.splitlines() if line.startswith("W") and aside.name in line]
    assert weights(aside) == before != weights(files / "snap_best.caffemodel")


def test_a_resumed_run_stops_where_it_would_have(here: Run, files: Path) -> None:
    assert here(*STOPPING).status == 0
    whole = (weights(files / "snap_best.caffemodel"), read_best(files / "snap_best.caffemodel"))
    last = max(int(path.stem.split("_")[-1]) for path in files.glob("snap_iter_*.solverstate"))
    after = weights(files / f"snap_iter_{last}.caffemodel")
    done = here(*STOPPING, "-snapshot", "snap_iter_5.solverstate")
    assert done.status == 0, done.err
    assert f"Early stop: Iteration {last}," in done.err
    assert not [line for line in done.err.splitlines() if line.startswith("W")]
    assert (weights(files / "snap_best.caffemodel"), read_best(files / "snap_best.caffemodel")) == whole
    assert weights(files / f"snap_iter_{last}.caffemodel") == after


def test_the_rate_drops_on_a_plateau(here: Run, files: Path) -> None:
    text = (files / "solver.prototxt").read_text().replace('"step"', '"plateau"').replace("stepsize: 10", "")
    text += 'plateau { output: "loss" mode: MAX patience: 2 }\n'  # which falls, so that nothing is ever better
    (files / "solver.prototxt").write_text(text)
    done = here("train", "-solver", "solver.prototxt", *sets("test_interval=5", "early_stop.output=loss"))
    assert done.status == 0, done.err
    records = [timed.record for timed in read(files / "snap_run")]
    rates = {record.iteration: record.rate for record in records if isinstance(record, Displayed)}
    # Tests at 5 and 10 bring nothing better than that at 0, then those at 15 and 20.
    assert rates == pytest.approx({0: 0.1, 5: 0.1, 10: 0.05, 15: 0.05, 20: 0.025, 25: 0.025})
    assert read_state(files / "snap_iter_30.solverstate").current_step == 2
    # At 30 it is the third time; the snapshot is of before that test, which a resumed run makes again.
    assert "Plateau Status: Iteration 30, step = 3: loss has not become better than" in done.err


def test_keep(here: Run, files: Path) -> None:
    for name in ("snap_best.caffemodel", "snapshot_iter_1.caffemodel"):
        (files / name).touch()
    done = here("train", "-solver", "solver.prototxt", "--keep", "2", *sets("snapshot=4"))
    assert done.status == 0, done.err
    assert sorted(path.name for path in files.glob("snap*_*.caffemodel")) == [
        "snap_best.caffemodel",
        "snap_iter_28.caffemodel",
        "snap_iter_30.caffemodel",
        "snapshot_iter_1.caffemodel",
    ]
    assert sorted(path.name for path in files.glob("*.solverstate")) == [
        "snap_iter_28.solverstate",
        "snap_iter_30.solverstate",
    ]
    removed = [
        record.text
        for record in (timed.record for timed in read(files / "snap_run"))
        if isinstance(record, Note) and record.text.startswith("Removed") and record.severity == "info"
    ]
    assert removed == [
        f"Removed snap_iter_{number}.caffemodel, snap_iter_{number}.solverstate (keep: 2)" for number in range(4, 28, 4)
    ]


@pytest.mark.parametrize(
    ("value", "message"), [("0", "0 is not in the range x>=1"), ("few", "'few' is not a valid integer")]
)
def test_how_many_are_kept_is_a_number(here: Run, value: str, message: str) -> None:
    done = here("train", "-solver", "solver.prototxt", "--keep", value)
    assert done.status == 2
    assert message in done.err


def test_training_for_so_many_passes(here: Run, files: Path) -> None:
    """40 records in batches of 8."""
    text = (files / "solver.prototxt").read_text()
    (files / "solver.prototxt").write_text(re.sub(r"max_iter: \d+", "max_epoch: 2.5", text))
    (files / "logs").mkdir()
    done = here("train", "-solver", "solver.prototxt", "--log_dir", "logs")
    assert done.status == 0, done.err
    assert "max_epoch 2.5 is 13 iterations: 40 records, 8 an iteration" in done.err
    assert "nothing to train" not in done.err
    assert (files / "snap_iter_13.caffemodel").exists()
    for log in ("snap_run", "logs/caffelite.INFO"):
        records = [timed.record for timed in read(files / log)]
        assert [record.max_iter for record in records if isinstance(record, Solving)] == [13]
    # The record of the run does it again.
    assert "max_epoch: 2.5" in (files / "snap_run" / "solver.prototxt").read_text()

    again = here("train", "-solver", "solver.prototxt", "-snapshot", "snap_iter_13.solverstate")
    assert "is at iteration 13: with max_epoch 2.5 nothing is left to train (--set max_epoch=… goes on)" in again.err
    more = here("train", "-solver", "solver.prototxt", "-snapshot", "snap_iter_13.solverstate", *sets("max_epoch=3"))
    assert more.status == 0, more.err
    assert (files / "snap_iter_15.caffemodel").exists()
    assert len((files / "snap_run" / "sessions.jsonl").read_text().splitlines()) == 3
    assert json.loads((files / "snap_run" / "sessions.jsonl").read_text().splitlines()[-1])["iteration"] == 13


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("early_stop.output=accc", 'early_stop: test net #0 has no output "accc": it has acc, loss'),
        ("early_stop.patience=5", "early_stop must name an output: test net #0 has acc, loss"),
        ("early_stop.patience=0", "early_stop: patience must be at least 1, got 0"),
        ("max_epoch=-1", "max_epoch must be above 0, and finite, got -1"),
    ],
)
def test_what_is_refused(here: Run, assignment: str, message: str) -> None:
    for command in (["train", "-solver", "solver.prototxt"], ["check", "solver.prototxt"]):
        done = here(*command, *sets(assignment))
        assert done.status == 1
        assert message in done.out + done.err
        assert "Traceback" not in done.err


# -- check -----------------------------------------------------------------------------------------------------------


def test_check_counts_epochs(here: Run) -> None:
    done = here("check", "solver.prototxt", *sets("max_epoch=2"))
    assert done.status == 0, done.out
    assert "; max_epoch 2 is 10 iterations: 40 records, 8 an iteration\n" in done.out


def test_check_knows_outputs_without_data(here: Run, files: Path) -> None:
    for name in ("train.h5", "test.h5"):
        (files / name).unlink()
    done = here("check", "solver.prototxt", *sets("max_epoch=2", "early_stop.output=accc"))
    assert done.status == 1
    assert 'test net #0 has no output "accc": it has acc, loss' in done.out
    assert "1 error," in done.out
    given = ["--input", "data=8x6", "--input", "label=8"]
    assert here("check", "solver.prototxt", *given, *sets("max_epoch=2", "early_stop.output=acc")).status == 0


def test_check_says_what_is_odd_about_rates(here: Run) -> None:
    done = here("check", "solver.prototxt", *sets("rampup_lr=0.01", "min_lr=0.5"))
    assert done.status == 0
    assert "warning: rampup_lr has no effect with no rampup_interval" in done.out
    assert "warning: min_lr is above base_lr: the rate never changes" in done.out
    assert here("check", "solver.prototxt", "--strict", *sets("min_lr=0.5")).status == 1
