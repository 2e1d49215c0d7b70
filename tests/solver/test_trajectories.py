"""Recorded trajectories of the original: weights, history, rates and losses, with real nets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffelite import assembly
from caffelite.logs.records import Displayed, Record
from caffelite.logs.text import number
from caffelite.proto import SolverParameter
from caffelite.prototxt import load
from caffelite.snapshot import read_state
from caffelite.solver import Settings, Solver
from caffelite.upgrade import upgrade_solver

CASES = [
    "sgd_m0_fixed",
    "sgd_m09_l2_mults",
    "sgd_l1",
    "sgd_step",
    "sgd_exp",
    "sgd_inv",
    "sgd_multistep",
    "sgd_poly",
    "sgd_sigmoid",
    "sgd_clip",
    "sgd_iter3",
    "sgd_clip_iter3",
    "sgd_shared",
    "sgd_two_losses",
    "sgd_frozen",
    "sgd_batchnorm",
    "nesterov_m09",
    "adagrad",
    "rmsprop_step",
    "adadelta",
    "adam",
    "adam_wd_clip_iter3",
]
TOLERANCE = {"rtol": 2e-3, "atol": 2e-5}


def make(file: str) -> Solver:
    loaded = load(file, SolverParameter)
    upgraded = upgrade_solver(loaded.message, loaded.places)
    chosen = Settings.from_message(upgraded.message, upgraded.places, file)
    return Solver(chosen, assembly.load_net(chosen.train_net.value, 0))


def compare_weights(solver: Solver, arrays: Any, updates: int) -> None:
    for key in arrays:
        head, _, rest = key.partition("/")
        if head == f"w{updates}":
            layer, slot = rest.rsplit("/", 1)
            got = solver.net.params[layer][int(slot)].data
            np.testing.assert_allclose(got, arrays[key], **TOLERANCE, err_msg=key)


@pytest.mark.parametrize("case", CASES)
def test_trajectory(case: str, golden: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(golden(f"solvers/{case}/trajectory.npz").parent, tmp_path / case)
    shutil.copytree(golden("solvers/_data/train.h5").parent, tmp_path / "_data")
    monkeypatch.chdir(tmp_path / case)
    arrays = np.load("trajectory.npz")
    said: list[Record] = []
    solver = make("solver.prototxt")
    solver.sinks.append(said.append)
    solver.net.load_weights("init.caffemodel")
    compare_weights(solver, arrays, 0)
    for updates in (1, 2, 5, 20, 50):
        solver.step(updates - solver.iter)
        compare_weights(solver, arrays, updates)
        if updates == 20:
            assert solver.current_step == read_state("snap_iter_20.solverstate").current_step
            for index, history in enumerate(solver.rule.history):
                np.testing.assert_allclose(history.numpy(), arrays[f"history20/{index}"], **TOLERANCE)
    shown = [record for record in said if isinstance(record, Displayed)]
    assert len(shown) == 50
    for record in shown:
        assert number(record.rate) == number(float(arrays["lr_displayed"][record.iteration]))
        assert record.loss == pytest.approx(arrays["loss_displayed"][record.iteration], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("end", ["", ".h5"])
@pytest.mark.parametrize("case", ["sgd_multistep", "sgd_batchnorm", "adam", "adadelta"])
def test_the_originals_snapshots_can_be_resumed(
    case: str, end: str, golden: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(golden(f"solvers/{case}/trajectory.npz").parent, tmp_path / case)
    shutil.copytree(golden("solvers/_data/train.h5").parent, tmp_path / "_data")
    monkeypatch.chdir(tmp_path / case)
    arrays = np.load("trajectory.npz")
    solver = make("solver_h5.prototxt" if end else "solver.prototxt")
    solver.restore(f"snap_iter_20.solverstate{end}")
    compare_weights(solver, arrays, 20)
    solver.step(30)
    compare_weights(solver, arrays, 50)
