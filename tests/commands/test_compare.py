"""`caffelite compare`: recorded values come from NumPy."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from caffelite.commands import perform
from caffelite.proto import NetParameter
from caffelite.snapshot import array_to_blob, write_weights

NET = """
layer {
  name: "data" type: "Data" top: "x" top: "label" data_param { source: "nowhere" batch_size: 2 } include { phase: TEST }
}
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 bias_term: false } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "twice" type: "Power" bottom: "y" top: "z" power_param { scale: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "label" top: "loss" }
"""
W = np.array([[1, -1, 0.5], [2, 0, -3]], np.float32)
X = np.array([[1, 2, 3], [-1, 0.25, 2]], np.float32)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net.write_text(NET)
    message = NetParameter()
    message.layer.add(name="ip", type="InnerProduct").blobs.add().CopyFrom(array_to_blob(W))
    write_weights(weights, message)
    return [str(net), str(weights)]


def record() -> dict[str, np.ndarray]:
    y = np.maximum(X @ W.T, 0)
    label = np.ones((2, 2), np.float32)
    return {"x": X, "label": label, "y": y, "z": 2 * y, "loss": np.float32(((2 * y - label) ** 2).sum() / 4)}


@pytest.mark.parametrize("form", ["npz", "h5"])
def test_what_agrees(files: list[str], form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = tmp_path / f"dump.{form}"
    if form == "npz":
        np.savez(dump, **record())
    else:
        with h5py.File(dump, "w") as file:
            file.update(record())
    assert perform(["compare", *files, str(dump)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[1:6]] == ["x", "label", "y", "z", "loss"]
    assert rows[1].endswith("input") and rows[2].endswith("input")
    assert rows[-1] == "all blobs that are recorded are close"


def test_the_first_that_differs_is_named(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = record()
    arrays["z"][1, 1] += 0.5
    arrays["loss"] = np.float32(0)
    np.savez(tmp_path / "dump.npz", **arrays, stranger=X)
    assert perform(["compare", *files, str(tmp_path / "dump.npz")]) == 1
    said = capsys.readouterr().out
    assert "recorded, but no blob of the net: stranger" in said
    assert '2 blobs differ; the first is "z", made by layer "twice" (Power)' in said
    (row,) = (line.split() for line in said.splitlines() if line.startswith("z "))
    assert row[3:6] == ["2x2", "0.5", "1x1"] and row[-1] == "DIFFERENT"


def test_another_shape(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "dump.npz", **(record() | {"y": np.zeros((2, 3))}))
    assert perform(["compare", *files, str(tmp_path / "dump.npz")]) == 1
    assert "2x2, recorded 2x3" in capsys.readouterr().out


def test_an_input_that_is_not_recorded(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = record()
    arrays["labels"] = arrays.pop("label")
    np.savez(tmp_path / "dump.npz", **arrays)
    assert perform(["compare", *files, str(tmp_path / "dump.npz")]) == 1
    said = capsys.readouterr().err
    assert 'the record has no "label"' in said and "did you mean labels?" in said


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_no_record(files: list[str], content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dump.npz").write_bytes(content)
    assert perform(["compare", *files, str(tmp_path / "dump.npz")]) == 1
    assert "no arrays can be read" in capsys.readouterr().err


def test_a_record_runs_no_code(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "dump.npz", x=np.array([{"a": 1}], dtype=object))
    assert perform(["compare", *files, str(tmp_path / "dump.npz")]) == 1
    assert "no arrays can be read" in capsys.readouterr().err


def test_only_inputs_are_recorded(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "dump.npz", x=X, label=record()["label"])
    assert perform(["compare", *files, str(tmp_path / "dump.npz")]) == 2
    assert "no blob of the net but its inputs" in capsys.readouterr().err
