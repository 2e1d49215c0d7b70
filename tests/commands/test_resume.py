"""`train --snapshot auto`, and what a run's record repeats."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from caffelite.snapshot import read_state, read_weights

from .conftest import Run


def sessions(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "sessions.jsonl").read_text().splitlines()]


def weights(model: Path) -> list[bytes]:
    return [blob.tobytes() for layer in read_weights(model).layers for blob in layer.blobs if blob is not None]


def test_auto_begins_and_goes_on(here: Run, files: Path) -> None:
    train = ("train", "-solver", "solver.prototxt", "--snapshot", "auto")
    first = here(*train, "--set", "max_iter=15")
    assert first.status == 0, first.err
    assert "No snapshot of snap yet: training begins" in first.err
    second = here(*train, "--set", "max_iter=30")
    assert second.status == 0, second.err
    assert "Resuming from snap_iter_15.solverstate" in second.err
    assert [(session["snapshot"], session["iteration"]) for session in sessions(files / "snap_run")] == [
        (None, 0),
        ("snap_iter_15.solverstate", 15),
    ]
    straight = here("train", "-solver", "solver.prototxt", "--set", "max_iter=30", "--set", 'snapshot_prefix="other"')
    assert straight.status == 0, straight.err
    assert (files / "other_iter_30.caffemodel").read_bytes() == (files / "snap_iter_30.caffemodel").read_bytes()


def test_auto_passes_over_what_is_not_whole(here: Run, files: Path) -> None:
    assert here("train", "-solver", "solver.prototxt", "--set", "max_iter=30").status == 0
    newest = files / "snap_iter_30.caffemodel"
    newest.write_bytes(newest.read_bytes()[:-1])
    done = here("train", "-solver", "solver.prototxt", "--snapshot", "auto", "--set", "max_iter=31")
    assert done.status == 0, done.err
    assert "warning: passed over: " in done.err
    assert "snap_iter_30.caffemodel does not hold the weights that were written with this state" in done.err
    assert "Resuming from snap_iter_15.solverstate" in done.err


def test_auto_begins_with_the_weights_given_only_where_there_is_no_snapshot(here: Run, files: Path) -> None:
    train = ("train", "-solver", "solver.prototxt", "--snapshot", "auto", "-weights", "init.caffemodel")
    assert "Finetuning from init.caffemodel" in here(*train, "--set", "max_iter=2").err
    again = here(*train, "--set", "max_iter=3")
    assert again.status == 0, again.err
    assert "Finetuning" not in again.err
    assert 'weights: "init.caffemodel"' in (files / "snap_run" / "solver.prototxt").read_text()


def test_a_record_does_the_run_again(here: Run, files: Path) -> None:
    text = (files / "solver.prototxt").read_text().replace("random_seed", "# random_seed")
    (files / "solver.prototxt").write_text(text)
    wider = "layer[ip1].inner_product_param.num_output=7"
    first = here("train", "-solver", "solver.prototxt", "--set", "max_iter=12", "--set", wider)
    assert first.status == 0, first.err
    (files / "net.prototxt").unlink()  # whatever becomes of the files it was made from
    (files / "solver.prototxt").unlink()
    again = here("train", "-solver", "snap_run/solver.prototxt", "--set", 'snapshot_prefix="again"')
    assert again.status == 0, again.err
    assert weights(files / "again_iter_12.caffemodel") == weights(files / "snap_iter_12.caffemodel")
    first_state, second_state = (read_state(files / f"{name}_iter_12.solverstate") for name in ("snap", "again"))
    assert first_state.run.net == second_state.run.net
    assert first_state.run.id != second_state.run.id
    assert sessions(files / "again_run")[0]["seed"] == sessions(files / "snap_run")[0]["seed"]


def test_a_record_keeps_what_earlier_sessions_were_run_with(here: Run, files: Path) -> None:
    assert here("train", "-solver", "solver.prototxt", "--set", "max_iter=4").status == 0
    first = (files / "snap_run" / "solver.prototxt").read_text()
    assert here("train", "-solver", "solver.prototxt", "--snapshot", "auto", "--set", "max_iter=4").status == 0
    assert len(list((files / "snap_run").glob("solver*.prototxt"))) == 1
    assert here("train", "-solver", "solver.prototxt", "--snapshot", "auto", "--set", "max_iter=6").status == 0
    kept = sorted((files / "snap_run").glob("solver*.prototxt"))
    assert len(kept) == 2
    assert [path.read_text() == first for path in kept] == [True, False]


def test_auto_says_when_the_newest_snapshot_is_of_another_run(here: Run, files: Path) -> None:
    train = ("train", "-solver", "solver.prototxt", "--set", "snapshot=0")
    assert here(*train, "--set", "max_iter=8").status == 0
    assert here(*train, "--set", "max_iter=4").status == 0
    done = here(*train, "--set", "max_iter=9", "--snapshot", "auto")
    assert done.status == 0, done.err
    assert "snap_iter_8.solverstate is of another run than the last one of snap" in done.err
    again = here(*train, "--set", "max_iter=10", "--snapshot", "auto")
    assert again.status == 0, again.err
    assert "another run" not in again.err


def test_a_record_names_data_where_it_was_found(here: Run, files: Path) -> None:
    project = files / "project"
    project.mkdir()
    (project / "rows.txt").write_text(f"{project}/rows.h5\n")
    with h5py.File(project / "rows.h5", "w") as file:
        file["x"] = np.arange(12, dtype=np.float32).reshape(6, 2)
    (project / "net.prototxt").write_text(
        'layer { name: "x" type: "HDF5Data" top: "x" hdf5_data_param { source: "rows.txt" batch_size: 2 } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 1 } }\n'
        'layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 }'
    )
    (project / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "found"'
    )
    first = here("train", "-solver", "project/solver.prototxt")
    assert first.status == 0, first.err
    again = here("train", "-solver", "found_run/solver.prototxt", "--set", 'snapshot_prefix="again"')
    assert again.status == 0, again.err
    assert weights(files / "again_iter_2.caffemodel") == weights(files / "found_iter_2.caffemodel")
