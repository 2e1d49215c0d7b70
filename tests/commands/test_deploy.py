"""`caffelite deploy`."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite.commands import perform
from tests.conftest import REPO

LENET = REPO / "models" / "mnist" / "lenet_train_test.prototxt"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without data."""
    monkeypatch.chdir(tmp_path)


def test_lenet_is_the_deploy_net_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deploy.prototxt"
    assert perform(["deploy", str(LENET), "-o", str(out), "--input", "data=64x1x28x28", "--batch", "64"]) == 0
    said = capsys.readouterr()
    assert said.out == f"written: {out}\n"
    assert "left out: accuracy (Accuracy), loss (SoftmaxWithLoss)" in said.err
    assert perform(["diff", str(out), str(REPO / "models" / "mnist" / "lenet_deploy.prototxt")]) == 0


def test_to_stdout_from_a_solver(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)
    solver = "models/mnist/lenet_solver.prototxt"
    assert perform(["deploy", solver, "--input", "data=64x1x28x28", "--input", "label=64"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# The net of lenet_solver.prototxt")
    assert 'type: "Softmax"' in text and 'type: "Data"' not in text


def test_unknown_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["deploy", str(LENET)]) == 1
    assert "help: say it: --input data=1x3xHxW" in capsys.readouterr().err


def test_it_does_not_write_over_the_net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(LENET.read_text())
    assert perform(["deploy", str(file), "-o", str(file), "--input", "data=64x1x28x28"]) == 2
    assert "is the net that was trained" in capsys.readouterr().err
    assert file.read_text() == LENET.read_text()
