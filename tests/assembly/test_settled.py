"""What a solver's nets decide: how many iterations max_epoch is, and which outputs are watched."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from caffelite.assembly import load_solver, make_solver, read_solver
from caffelite.errors import Fault, SettingsError
from caffelite.logs.records import Displayed
from caffelite.solver import Solver
from caffelite.solver.tracker import Watched
from caffelite.tools.writers import write_images

FED = {
    "Data": 'data_param {{ source: "lmdb" backend: LMDB batch_size: {} }}',
    "ImageData": 'image_data_param {{ source: "images.txt" batch_size: {} rand_skip: 3 }}',
    "HDF5Data": 'hdf5_data_param {{ source: "rows.txt" batch_size: {} }}',
    "WindowData": 'window_data_param {{ source: "windows.txt" batch_size: {} fg_fraction: 0.5 }}\n'
    "transform_param {{ crop_size: 4 }}",
    "MemoryData": "memory_data_param {{ batch_size: {} channels: 1 height: 4 width: 4 }}",
    "DummyData": "dummy_data_param {{ shape {{ dim: {0} dim: 1 dim: 4 dim: 4 }} shape {{ dim: {0} }} }}",
}
RECORDS = {"Data": 23, "ImageData": 7, "HDF5Data": 12}
REST = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" include { phase: TEST } }
"""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of every form: 23 records, 7 lines, 5 + 7 rows in two files, 2 windows."""
    monkeypatch.chdir(tmp_path)
    images = np.zeros((RECORDS["Data"], 1, 4, 4), np.uint8)
    write_images(tmp_path / "lmdb", images, [0] * len(images))
    Image.new("RGB", (4, 4)).save("image.png")
    Path("images.txt").write_text("image.png 0\n" * RECORDS["ImageData"])
    for name, rows in (("a.h5", 5), ("b.h5", 7)):
        with h5py.File(name, "w") as file:
            file["data"], file["label"] = np.zeros((rows, 1, 4, 4), np.float32), np.zeros(rows, np.float32)
    Path("rows.txt").write_text("a.h5\nb.h5\n")
    Path("windows.txt").write_text("# 0\nimage.png\n3\n4\n4\n2\n1 1 0 0 3 3\n0 0 0 0 3 3\n")


def layer(kind: str, batch: int = 4, name: str = "in", tops: str = 'top: "data" top: "label"') -> str:
    return f'layer {{ name: "{name}" type: "{kind}" {tops} {FED[kind].format(batch)} }}\n'


def written(net: str, **fields: Any) -> str:
    """A solver file of this net."""
    Path("net.prototxt").write_text(net)
    given = {"net": '"net.prototxt"', "base_lr": 0.5, "lr_policy": '"fixed"', "solver_mode": "CPU"} | fields
    Path("solver.prototxt").write_text("".join(f"{name}: {value}\n" for name, value in given.items()))
    return "solver.prototxt"


def told(net: str, **fields: Any) -> tuple[Solver, list[Fault]]:
    """The solver, and what is said while it is made."""
    faults: list[Fault] = []
    return load_solver(written(net, **fields), warn=faults.append), faults


def refused(net: str, **fields: Any) -> list[str]:
    """Why the solver is not made."""
    with pytest.raises(SettingsError) as caught:
        load_solver(written(net, **fields))
    return str(caught.value).splitlines()


# -- max_epoch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize(("epochs", "batch", "size"), [(1, 4, 1), (2, 5, 1), (0.5, 4, 1), (10, 3, 2), (0.001, 4, 3)])
def test_an_epoch_is_all_records(kind: str, epochs: float, batch: int, size: int) -> None:
    solver, _ = told(layer(kind, batch) + REST, max_epoch=epochs, iter_size=size)
    assert solver.settings.max_iter == ceil(round(epochs * RECORDS[kind] / (batch * size), 9))
    solver.close()


@pytest.mark.parametrize(
    ("epochs", "iterations"), [("0.1", 1), ("0.3", 3), ("0.7", 7), ("1.1", 11), ("4.7", 47), ("29.9", 299)]
)
def test_a_fraction_is_meant_as_it_is_written(epochs: str, iterations: int) -> None:
    """In single precision 0.1 is a little more, which would cost one iteration."""
    with h5py.File("b.h5", "w") as file:
        file["data"], file["label"] = np.zeros((5, 1, 4, 4), np.float32), np.zeros(5, np.float32)
    solver, _ = told(layer("HDF5Data", 1) + REST, max_epoch=epochs)
    assert solver.settings.max_iter == iterations


@pytest.mark.parametrize(("limit", "iterations", "end"), [(5, 5, "; max_iter 5 comes first"), (6, 6, ""), (99, 6, "")])
def test_what_comes_first_ends_training(limit: int, iterations: int, end: str) -> None:
    solver, notes = told(layer("HDF5Data", 4) + REST, max_epoch=1.75, max_iter=limit)
    assert solver.settings.max_iter == iterations
    note = Fault(f"max_epoch 1.75 is 6 iterations: 12 records, 4 an iteration{end}", severity="note", code="CL526")
    assert [fault for fault in notes if "max_epoch" in fault.message] == [note]
    solver.solve()
    assert solver.iter == iterations


def test_nothing_is_said_without_it() -> None:
    solver, notes = told(layer("HDF5Data") + REST, max_iter=7)
    assert solver.settings.max_iter == 7
    assert not [fault for fault in notes if "max_epoch" in fault.message or "nothing to train" in fault.message]


@pytest.mark.parametrize("policy", ["poly", "cosine"])
def test_policies_come_to_their_end_with_it(policy: str) -> None:
    power = {"power": 1} if policy == "poly" else {}
    solver, _ = told(layer("HDF5Data") + REST, max_epoch=2, lr_policy=f'"{policy}"', display=1, **power)
    rates: list[float] = []
    solver.sinks.append(lambda record: rates.append(record.rate) if isinstance(record, Displayed) else None)
    solver.solve()
    done = np.arange(6) / 6
    assert rates == pytest.approx(0.5 * (1 - done) if power else 0.25 * (1 + np.cos(np.pi * done)), rel=1e-6)


@pytest.mark.parametrize("kind", ["WindowData", "MemoryData", "DummyData"])
def test_layers_that_know_no_epoch(kind: str) -> None:
    assert refused(layer(kind) + REST, max_epoch=2)[::3] == [
        "solver.prototxt:5:1: max_epoch: no layer of the train net knows how many records it has",
        "  help: Data, ImageData and HDF5Data know; with others, say how long to train with max_iter",
    ]


def test_layers_that_know_none_beside_one_that_does() -> None:
    noise = layer("DummyData", 4, "noise", 'top: "noise" top: "more"')
    solver, _ = told(layer("HDF5Data") + noise + REST, max_epoch=1)
    assert solver.settings.max_iter == 3


def test_layers_that_disagree() -> None:
    more = layer("Data", 4, "more", 'top: "more"')
    assert refused(layer("HDF5Data") + more + REST, max_epoch=2)[0] == (
        "solver.prototxt:5:1: max_epoch: the layers of the train net do not agree on what an epoch is: they read "
        "in 12 in batches of 4, more 23 in batches of 4"
    )


@pytest.mark.parametrize("batch", [4, 8])
def test_layers_that_agree(batch: int) -> None:
    more = layer("HDF5Data", batch, "more", 'top: "data2"').replace("rows.txt", "more.txt")
    with h5py.File("c.h5", "w") as file:
        file["data2"] = np.zeros((3 * batch, 2), np.float32)
    Path("more.txt").write_text("c.h5\n")
    solver, _ = told(layer("HDF5Data") + more + REST, max_epoch=2)
    assert solver.settings.max_iter == 6


# -- early_stop and plateau ----------------------------------------------------------------------------------------

TESTED: dict[str, Any] = {"max_iter": 4, "test_iter": 1, "test_interval": 2, "snapshot_prefix": '"s"'}


def test_outputs_are_found_in_the_test_nets() -> None:
    solver, _ = told(
        layer("HDF5Data") + REST, **(TESTED | {"lr_policy": '"plateau"', "gamma": 0.1}),
        early_stop='{ output: "acc" patience: 3 }', plateau='{ output: "loss" min_delta: 0.5 }',
    )  # fmt: skip
    assert solver.settings.early_stop == Watched("acc", True, 0, 3, 0.0)
    assert solver.settings.plateau == Watched("loss", False, 0, 10, 0.5)


def test_faults_of_both_are_told_at_once() -> None:
    got = refused(
        layer("HDF5Data") + REST, **(TESTED | {"lr_policy": '"plateau"', "gamma": 0.1}),
        early_stop='{ output: "ac" }', plateau="{ }",
    )  # fmt: skip
    assert [line for line in got if line.startswith("solver")] == [
        'solver.prototxt:10:15: early_stop: test net #0 has no output "ac": it has acc, loss',
        "solver.prototxt:11:1: plateau must name an output: test net #0 has acc, loss",
    ]


def test_the_second_test_net_may_be_watched() -> None:
    Path("other.prototxt").write_text(layer("HDF5Data") + REST.replace('top: "acc"', 'top: "other"'))
    fields = TESTED | {"test_iter": "[1, 1]", "test_net": '"other.prototxt"'}
    solver, _ = told(layer("HDF5Data") + REST, **fields, early_stop='{ test_net: 0 output: "other" }')
    assert solver.settings.early_stop is not None
    assert refused(layer("HDF5Data") + REST, **fields, early_stop='{ test_net: 1 output: "other" }')[0].endswith(
        'early_stop: test net #1 has no output "other": it has acc, loss'
    )


def test_settings_of_the_file_stay_as_they_are() -> None:
    file = read_solver(written(layer("HDF5Data") + REST, max_epoch=1, test_iter=1, test_interval=2,
                               snapshot_prefix='"s"', early_stop='{ output: "acc" }'))  # fmt: skip
    solver = make_solver(file)
    assert (file.settings.max_iter, solver.settings.max_iter) == (0, 3)
    assert file.settings.early_stop != solver.settings.early_stop
