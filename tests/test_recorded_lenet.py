"""LeNet on real MNIST digits follows the original's recorded training, on the plan the command line trains with.

The recording is in `golden/lenet`; it stands on the first 6400 training and 1000 test digits, so the MNIST files must
be at hand.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from caffelite import assembly
from caffelite.tools import mnist
from caffelite.tools.writers import write_images

from .conftest import REPO, find_golden

DATASETS = Path(os.environ.get("CAFFELITE_DATASETS", REPO.parent / "shared"))
LOSS_TOLERANCE = [1e-4] * 20 + [2e-3] * 40
ACCURACY_TOLERANCE = 0.005


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    recorded = find_golden("lenet")
    if not (DATASETS / "mnist").is_dir():
        pytest.skip(f"the MNIST files are not at hand ({DATASETS / 'mnist'}; CAFFELITE_DATASETS names another folder)")
    place = tmp_path_factory.mktemp("lenet")
    for file in recorded.iterdir():
        shutil.copy(file, place)
    files = mnist.find_idx(DATASETS / "mnist")
    for part, name, count in (("train", "mnist_train6400_lmdb", 6400), ("t10k", "mnist_test1000_lmdb", 1000)):
        images, labels = mnist.read_digits(files, part)
        write_images(place / name, images[:count].reshape(count, 1, 28, 28), labels[:count].tolist())
    return place


@pytest.fixture
def solver(folder, monkeypatch):
    monkeypatch.chdir(folder)
    solver = assembly.load_solver("sgd_solver.prototxt")
    initial = np.load("init.npz")
    for parameter in solver.net.parameters:
        parameter.load(initial[parameter.name])
    yield solver
    for net in (solver.net, *solver.test_nets):
        net.close()


@pytest.fixture(scope="module")
def expected(folder):
    return json.loads((folder / "sgd_expected.json").read_text())


def losses(solver, count):
    """The loss of each of the next iterations, before its update."""
    seen = []
    plain = solver.net.forward_backward

    def listening():
        loss = plain()
        seen.append(float(loss))
        return loss

    solver.net.forward_backward = listening
    solver.step(count)
    solver.net.forward_backward = plain
    return seen


def test_sixty_losses_follow_the_original(solver, expected):
    assert not solver.net.observed
    assert len(expected["losses"]) >= 60
    for iteration, (loss, wanted) in enumerate(zip(losses(solver, 60), expected["losses"], strict=False)):
        assert loss == pytest.approx(wanted, rel=LOSS_TOLERANCE[iteration]), f"iteration {iteration}"


def test_weights_after_one_and_ten_updates_are_the_original_s(solver, expected):
    for updates, recorded in sorted(expected["weights_after"].items(), key=lambda item: int(item[0])):
        solver.step(int(updates) - solver.iter)
        for parameter in solver.net.parameters:
            wanted = recorded[parameter.name]
            assert np.abs(parameter.data).sum() == pytest.approx(wanted["abs_sum"], rel=2e-4), parameter.name
            assert parameter.data.std() == pytest.approx(wanted["std"], rel=2e-4), parameter.name


def test_accuracy_and_test_loss_are_the_original_s(solver, expected):
    from caffelite.solver.testing import average

    for updates in sorted(map(int, expected["test_accuracy"])):
        solver.step(updates - solver.iter)
        scores = average(solver.test_nets[0], 10, with_loss=False, interrupted=lambda: False)
        values = {output.name: output.value for output in scores.outputs}
        assert values["accuracy"] == pytest.approx(expected["test_accuracy"][str(updates)], abs=ACCURACY_TOLERANCE)
        assert values["loss"] == pytest.approx(expected["test_loss"][str(updates)], rel=2e-3)
