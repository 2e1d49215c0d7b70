"""HDF5Output: what stands in the file, and when."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from caffelite import assembly
from caffelite.errors import DataError
from caffelite.layerkit import Layer
from caffelite.proto import TEST
from caffelite.pycaffe.net import Net as View

from ..conftest import find_golden
from ..nets import net_of
from .alone import build, run_at


@pytest.mark.parametrize("case", ["two_d", "four_d"])
def test_recorded_case(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prototxt = find_golden(f"layers/HDF5Output/{case}.prototxt")
    shutil.copy(prototxt, tmp_path)
    monkeypatch.chdir(tmp_path)
    with np.load(prototxt.with_suffix(".npz")) as stored:
        arrays = dict(stored)
    net = assembly.load_net(f"{case}.prototxt", TEST)
    for blob in ("data", "label"):
        net.blobs[blob].data[...] = arrays[f"in/{blob}"]
    net.forward()
    net.close()
    with h5py.File(f"{case}.out.h5") as file:
        assert sorted(file) == ["data", "label"]
        for name in file:
            assert file[name].dtype == np.float32
            np.testing.assert_array_equal(file[name][...], arrays[f"file/{name}"])


def layer_to(path: Path, *shapes: tuple[int, ...]) -> Layer:
    text = f'name: "out" type: "HDF5Output" bottom: "x" bottom: "l" hdf5_output_param {{ file_name: "{path}" }}'
    return build(text, *shapes)[0]


def write(layer: Layer, data: np.ndarray, label: np.ndarray) -> None:
    layer.shapes([data.shape, label.shape])
    layer.forward(run_at(), [torch.tensor(data, dtype=torch.float32), torch.tensor(label, dtype=torch.float32)], [])


def held(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][...] for name in file}


def test_every_forward_adds_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    layer = layer_to(path, (4, 3), (4,))
    rows = np.arange(33.0).reshape(11, 3)
    for start, end in ((0, 4), (4, 8), (8, 11)):
        write(layer, rows[start:end], rows[start:end, 0])
    layer.close()
    np.testing.assert_array_equal(held(path)["data"], rows.reshape(11, 3, 1, 1))
    np.testing.assert_array_equal(held(path)["label"], rows[:, :1].reshape(11, 1, 1, 1))


def test_the_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("what a run before this one wrote")
    layer = layer_to(path, (2, 3), (2,))
    assert list(tmp_path.iterdir()) == [path]
    write(layer, np.ones((2, 3)), np.ones(2))
    assert path.read_text() == "what a run before this one wrote"
    assert {file.name for file in tmp_path.iterdir()} == {"a.h5", "a.h5.unfinished"}
    layer.close()
    layer.close()
    assert len(held(path)["data"]) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_rows_of_another_size_are_refused_and_nothing_half_made_is_left(tmp_path: Path) -> None:
    layer = layer_to(tmp_path / "a.h5", (2, 3), (2,))
    write(layer, np.ones((2, 3)), np.ones(2))
    with pytest.raises(DataError) as caught:
        write(layer, np.ones((2, 4)), np.ones(2))
    assert str(caught.value) == (
        f'layer "out" (HDF5Output): "{tmp_path}/a.h5" cannot take rows of "data" of size 4×1×1: those before are 3×1×1'
    )
    layer.close()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_vanished_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    layer = layer_to(folder / "a.h5", (2, 3), (2,))
    folder.rmdir()
    with pytest.raises(DataError, match=r'"out" \(HDF5Output\): ".*a\.h5" cannot be written') as caught:
        write(layer, np.ones((2, 3)), np.ones(2))
    assert caught.value.faults[0].help == f"create the folder {folder} first"


def test_two_layers_cannot_write_one_file(tmp_path: Path) -> None:
    one, other = (layer_to(tmp_path / "a.h5", (2, 3), (2,)) for _ in range(2))
    write(one, np.ones((2, 3)), np.ones(2))
    with pytest.raises(DataError, match="cannot be written"):
        write(other, np.zeros((2, 3)), np.zeros(2))
    one.close()
    assert held(tmp_path / "a.h5")["data"].all()


def test_a_layer_nobody_closed_finishes_its_file_when_it_goes(tmp_path: Path) -> None:
    layer = layer_to(tmp_path / "a.h5", (2, 3), (2,))
    write(layer, np.ones((2, 3)), np.ones(2))
    del layer
    gc.collect()
    assert len(held(tmp_path / "a.h5")["data"]) == 2


NET = """
layer { name: "in" type: "Input" top: "x" top: "l" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 } }
layer { name: "out" type: "HDF5Output" bottom: "y" bottom: "l" hdf5_output_param { file_name: "a.h5" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "l" top: "loss" }
"""


@pytest.mark.parametrize("observed", [False, True])
def test_it_disturbs_no_training(observed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = net_of("force_backward: true" + NET, observed=observed)
    net.blobs["x"].data[...] = 1
    for _ in range(3):
        net.forward_backward()
    assert net.params["ip"][0].diff.any()
    net.close()
    assert len(held(tmp_path / "a.h5")["data"]) == 6


def test_a_script_has_the_file_when_it_lets_go_of_the_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    monkeypatch.chdir(tmp_path)
    net = View("net.prototxt", TEST)
    net.forward()
    del net
    assert len(held(tmp_path / "a.h5")["data"]) == 2


ENDS = {
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", {"a.h5.unfinished"}),
    "not closed": ("", {"a.h5"}),
    "failed": ("raise RuntimeError", {"a.h5"}),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_a_run_leaves(end: str, tmp_path: Path) -> None:
    last, left = ENDS[end]
    script = f"""
import os, signal
from google.protobuf import text_format
from caffelite.layerkit import Run, layers
from caffelite.proto import LayerParameter
import torch
layer = layers["HDF5Output"](text_format.Parse('hdf5_output_param {{ file_name: "a.h5" }}', LayerParameter()))
layer.shapes([(2, 3), (2,)])
layer.forward(Run(torch.device("cpu"), 1), [torch.ones(2, 3), torch.ones(2)], [])
{last}
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=False)
    assert {file.name for file in tmp_path.iterdir()} == left


def test_a_full_disk_is_an_error_and_no_crash(tmp_path: Path) -> None:
    script = """
import resource
import numpy as np
from caffelite.data.hdf5_writer import Hdf5Writer
from caffelite.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
writer, written = Hdf5Writer("a.h5"), 0
try:
    for _ in range(9):
        writer.append({"data": np.ones((1000, 100), np.float32)})
        written += 1
except DataError as error:
    print(written, error)
writer.close()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, '2 "a.h5" cannot be written: File too large\n', "")
    assert not list(tmp_path.iterdir())
