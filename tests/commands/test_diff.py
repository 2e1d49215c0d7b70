"""`caffelite diff`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffelite.commands import perform
from caffelite.proto import NetParameter
from caffelite.snapshot import array_to_blob, write_weights
from tests.conftest import REPO

MODELS = REPO / "models" / "mnist"
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 1 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "r" }
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def weights(path: Path, values: np.ndarray) -> str:
    net = NetParameter(name="n")
    layer = net.layer.add(name="ip", type="InnerProduct")
    layer.blobs.add().CopyFrom(array_to_blob(values.astype(np.float32)))
    write_weights(path, net)
    return str(path)


def test_an_old_spelling_is_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    pair = [str(MODELS / "lenet_v1_train_test.prototxt"), str(MODELS / "lenet_train_test.prototxt")]
    assert perform(["diff", *pair]) == 0
    assert capsys.readouterr().out == "0 layers of 11 differ; 11 are the same\n"


def test_layers_and_the_shapes_that_follow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "a.prototxt", NET)
    other = write(tmp_path / "b.prototxt", NET.replace("kernel_size: 3", "kernel_size: 5"))
    assert perform(["diff", one, other]) == 1
    assert capsys.readouterr().out.splitlines() == [
        '~ layer "c" (Convolution)',
        "    convolution_param.kernel_size: 3 → 5",
        "    c is 2x4x6x6 → 2x4x4x4",
        '~ layer "r" (ReLU)',
        "    r is 2x4x6x6 → 2x4x4x4",
        "2 layers of 3 differ; 1 are the same",
    ]


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "a.prototxt", NET)
    other = write(tmp_path / "b.prototxt", 'name: "b"' + NET.replace('"ReLU"', '"TanH"'))
    assert perform(["diff", one, other, "--format", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["net"] == [{"path": "name", "first": '"" (by default)', "second": '"b"'}]
    assert [(row["layer"], row["what"]) for row in said["layers"]] == [("r", "changed")]


def test_solvers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "a.prototxt", 'net: "n" base_lr: 0.1 solver_type: NESTEROV')
    other = write(tmp_path / "b.prototxt", 'net: "n" base_lr: 0.1 type: "Nesterov" momentum: 0.9')
    assert perform(["diff", one, other]) == 1
    assert capsys.readouterr().out == "momentum: 0 (by default) → 0.9\n1 setting differs\n"


def test_weights_within_a_tolerance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    one = weights(tmp_path / "a.caffemodel", values)
    other = weights(tmp_path / "b.caffemodel", np.array([[1.0, 2.0], [3.0, 4.5]]))
    assert perform(["diff", one, other]) == 1
    table = capsys.readouterr().out.splitlines()
    assert table[1].split() == ["ip", "0", "2x2", "0.5", "1x1", "0.0913"]  # 0.5 / √30
    assert table[2] == "1 array of 1 differ"
    assert perform(["diff", one, other, "--tolerance", "0.5"]) == 0
    assert perform(["diff", one, one]) == 0


def test_different_things_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = weights(tmp_path / "a.caffemodel", np.zeros((1, 1)))
    net = write(tmp_path / "a.prototxt", NET)
    assert perform(["diff", one, net]) == 2
    assert "there is nothing to compare" in capsys.readouterr().err
    assert perform(["diff", net, str(MODELS / "lenet_solver.prototxt")]) == 2
    assert "there is nothing to compare" in capsys.readouterr().err
