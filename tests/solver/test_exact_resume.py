"""N iterations are k, a stop, a resume and N − k more, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from caffelite.errors import DataError, SnapshotError
from caffelite.snapshot import newest, read_state, write_state
from caffelite.snapshot.wire import bytes_field
from caffelite.solver.events import Action

from .resuming import TYPES, files, in_stops, solver_of, whole


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resuming")


@pytest.mark.parametrize("more", ["", "snapshot_format: HDF5", "test_initialization: false snapshot_diff: true"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_resumed_run_is_the_same_run(kind: str, more: str, folder: Path, tmp_path: Path) -> None:
    straight, told = solver_of(files(folder, tmp_path / "straight" / "s", kind, more))
    straight.solve()
    path = files(folder, tmp_path / "resumed" / "s", kind, more)
    solver, lines, names = in_stops(path, (5, 6, 11, 13))
    assert whole(solver) == whole(straight)
    assert lines == told.lines
    assert len(names) == 1
    straight.close()


def test_a_run_without_a_seed_goes_on_with_the_one_it_drew(folder: Path, tmp_path: Path) -> None:
    path = files(folder, tmp_path / "s", more="random_seed: -1 snapshot: 4")
    straight, told = solver_of(path)
    straight.step(7)
    resumed, said = solver_of(path)
    aside = next(row[0].data.copy() for name, row in resumed.test_nets[1].named_rows() if name == "aside")
    resumed.restore("%s_iter_4.solverstate" % (tmp_path / "s"))
    assert resumed.net.run.seed == straight.net.run.seed
    resumed.step(3)
    assert said.lines == [line for line in told.lines if line[1] >= 4]
    assert whole(resumed) == whole(straight)
    theirs, ours = (
        next(row[0].data for name, row in solver.test_nets[1].named_rows() if name == "aside")
        for solver in (straight, resumed)
    )
    assert (ours == theirs).all() and not (ours == aside).all()  # weights that no caffemodel holds


class Asks:
    """Asks for an action before the `at`-th batch of a round of tests."""

    def __init__(self, at: int, action: Action) -> None:
        self.left, self.action = at, action

    def __call__(self) -> Action:
        self.left -= 1
        return self.action if self.left == 0 else Action.NONE


@pytest.mark.parametrize("action", [Action.SNAPSHOT, Action.STOP, Action.SNAPSHOT_AND_STOP])
@pytest.mark.parametrize("at", [1, 2, 4, 5])
def test_a_snapshot_in_a_round_of_tests_makes_the_round_again(
    at: int, action: Action, folder: Path, tmp_path: Path
) -> None:
    path = files(folder, tmp_path / "s")
    straight, _ = solver_of(path)
    straight.request = Asks(8 + at, action)  # it was asked before 5 batches of the first round and after 3 updates
    straight.step(4)
    assert straight.iter == (3 if action.stops else 4)
    assert straight.stopped == action.stops
    if action is Action.STOP:
        straight.snapshot()
    resumed, said = solver_of(path)
    resumed.restore("%s_iter_3.solverstate" % (tmp_path / "s"))
    resumed.step(4)
    undisturbed, everything = solver_of(files(folder, tmp_path / "u"))
    undisturbed.step(7)
    assert whole(resumed) == whole(undisturbed)
    assert said.lines == [line for line in everything.lines if line[1] >= 3]


def test_a_state_of_the_original_begins_the_window_of_losses_anew(folder: Path, tmp_path: Path) -> None:
    path = files(folder, tmp_path / "s")
    first, _ = solver_of(path)
    first.step(3)
    first.snapshot()
    state = read_state(tmp_path / "s_iter_3.solverstate")
    write_state(tmp_path / "theirs.solverstate", replace(state, run=None))
    resumed, _ = solver_of(path)
    resumed.restore(tmp_path / "theirs.solverstate")
    assert resumed.iter == 3
    assert resumed.net.run.position == 0
    resumed.step(1)
    assert len(resumed.smoothed.window_of()) == 1


def plain(folder: Path, net: str, more: str) -> Path:
    """This net, and a solver of it that shows every iteration; the solver's path."""
    (folder / "net.prototxt").write_text(net)
    path = folder / "solver.prototxt"
    path.write_text(
        f'net: "{folder}/net.prototxt" snapshot_prefix: "{folder}/s" lr_policy: "fixed" display: 1 random_seed: 7 '
        + more
    )
    return path


RECURRENT = """
layer {{
  name: "data" type: "DummyData" top: "x" top: "cont" top: "y"
  dummy_data_param {{
    shape {{ dim: 3 dim: 2 dim: 4 }} shape {{ dim: 3 dim: 2 }} shape {{ dim: 3 dim: 2 dim: 5 }}
    data_filler {{ type: "gaussian" }} data_filler {{ type: "constant" value: 1 }} data_filler {{ type: "gaussian" }}
  }}
}}
layer {{
  name: "r" type: "{type}" bottom: "x" bottom: "cont" top: "h"
  recurrent_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }}
}}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "h" bottom: "y" top: "loss" }}
"""


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_sequences_go_on_where_they_were(kind: str, tmp_path: Path) -> None:
    plain(tmp_path, RECURRENT.format(type=kind), "base_lr: 0.01")
    straight, told = solver_of(tmp_path / "solver.prototxt")
    straight.step(4)
    straight.snapshot()
    told.lines.clear()
    resumed, said = solver_of(tmp_path / "solver.prototxt")
    resumed.restore(tmp_path / "s_iter_4.solverstate")
    for solver in (straight, resumed):
        solver.step(3)
    assert said.lines == told.lines
    assert len(said.lines) == 3
    assert whole(resumed) == whole(straight)


def test_what_has_gone_from_the_nets_since_is_warned_of(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = solver_of(files(folder, tmp_path / "s"))
    first.step(1)
    first.snapshot()
    path = files(folder, tmp_path / "s", more="random_seed: 4")
    text = (folder / "net.prototxt").read_text()
    net = tmp_path / "net.prototxt"
    net.write_text(
        text.replace('name: "other" type: "Data"', 'name: "new" type: "Data"').replace("num_output: 2", "num_output: 3")
    )
    path.write_text(path.read_text().replace(f"{folder}/net.prototxt", str(net)))
    resumed, _ = solver_of(path)
    resumed.restore(tmp_path / "s_iter_1.solverstate")
    assert "random_seed 4 has no effect: the run that is resumed began with 3" in caplog.text
    assert 'the test net #1 has no layer "other" any more' in caplog.text
    assert 'layer "aside" of the test net #1 has other weights than in the state; it keeps them' in caplog.text
    assert resumed.net.run.seed == 3


def test_weights_that_were_exchanged_are_refused(folder: Path, tmp_path: Path) -> None:
    solver, _ = solver_of(files(folder, tmp_path / "s"))
    for _ in range(2):
        solver.step(1)
        solver.snapshot()
    (tmp_path / "s_iter_2.caffemodel").write_bytes((tmp_path / "s_iter_1.caffemodel").read_bytes())
    before = whole(solver)
    with pytest.raises(SnapshotError, match="does not hold the weights that were written with this state"):
        solver.restore(tmp_path / "s_iter_2.solverstate")
    assert whole(solver) == before
    found = newest(tmp_path / "s")
    assert found is not None
    assert found.iteration == 1


@pytest.mark.parametrize("change", ["cut", "negative"])
def test_a_damaged_run_state_is_told(change: str, folder: Path, tmp_path: Path) -> None:
    solver, _ = solver_of(files(folder, tmp_path / "s"))
    solver.step(1)
    solver.snapshot()
    path = tmp_path / "s_iter_1.solverstate"
    if change == "cut":
        state = read_state(path)
        write_state(path, replace(state, run=None))
        cut = state.run.SerializeToString()[:-2]
        path.write_bytes(path.read_bytes() + b"".join(bytes_field(5000, [cut])))
    else:
        state = read_state(path)
        state.run.net[0].position = -1
        write_state(path, state)
    with pytest.raises(SnapshotError, match="damaged"):
        solver.restore(path)


def images(folder: Path) -> str:
    chance = np.random.default_rng(3)
    for index in range(7):
        Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    (folder / "list.txt").write_text("".join(f"{folder}/{index}.png {index}\n" for index in range(7)))
    return (
        'type: "ImageData" transform_param { crop_size: 5 mirror: true scale: 0.01 } '
        f'image_data_param {{ source: "{folder}/list.txt" batch_size: 3 shuffle: true rand_skip: 5 }}'
    )


def rows(folder: Path) -> str:
    chance = np.random.default_rng(4)
    for index in range(2):
        with h5py.File(folder / f"{index}.h5", "w") as file:
            file["x"], file["y"] = chance.random((5, 4), np.float32), np.arange(5, dtype=np.float32)
    (folder / "list.txt").write_text(f"{folder}/0.h5\n{folder}/1.h5\n")
    return f'type: "HDF5Data" hdf5_data_param {{ source: "{folder}/list.txt" batch_size: 3 shuffle: true }}'


def windows(folder: Path) -> str:
    images(folder)
    text = ""
    for index in range(3):
        text += f"# {index}\n{folder}/{index}.png\n3\n8\n8\n4\n"
        text += "1 0.9 0 0 5 5\n2 0.8 1 1 6 6\n0 0.1 2 2 7 7\n0 0.1 0 3 4 7\n"
    (folder / "windows.txt").write_text(text)
    return (
        'type: "WindowData" transform_param { crop_size: 5 mirror: true } '
        f'window_data_param {{ source: "{folder}/windows.txt" batch_size: 4 fg_fraction: 0.5 scale: 0.01 }}'
    )


@pytest.mark.parametrize("source", [images, rows, windows])
def test_every_source_goes_on_where_it_was(source: Callable[[Path], str], tmp_path: Path) -> None:
    net = (
        f'layer {{ name: "data" top: "x" top: "y" {source(tmp_path)} }}\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" '
        'inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }\n'
        'layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 '
        "reduction_param { operation: SUMSQ } }\n"
        'layer { name: "labels" type: "Reduction" bottom: "y" top: "labels" reduction_param { operation: SUMSQ } }'
    )
    path = plain(tmp_path, net, "base_lr: 1e-4 snapshot: 5")
    straight, told = solver_of(path)
    straight.step(12)
    resumed, said = solver_of(path)
    resumed.restore(tmp_path / "s_iter_5.solverstate")
    resumed.step(7)
    assert said.lines == [line for line in told.lines if line[1] >= 5]
    assert len({line[4] for line in said.lines}) > 3  # batches differ
    assert whole(resumed) == whole(straight)


COUNTING = """
import numpy

import caffelite


class Counting(caffelite.Layer):
    def setup(self, bottom, top):
        self.next, self.order = 0, numpy.random.default_rng(0).permutation(1000)

    def reshape(self, bottom, top):
        top[0].reshape(2, 3)

    def forward(self, bottom, top):
        top[0].data[...] = numpy.arange(6).reshape(2, 3) * self.order[self.next]
        self.next += 1
        if self.next % 4 == 0:
            self.order = self.order[::-1].copy()

    def get_extra_state(self):
        return {"next": self.next, "order": self.order, "nothing": None, "more": [-2, 0.5, [], {}]}

    def set_extra_state(self, state):
        assert (state["nothing"], state["more"]) == (None, [-2, 0.5, [], {}])
        assert state["order"].dtype == numpy.int64
        self.next, self.order = state["next"], state["order"]


class Odd(Counting):
    def get_extra_state(self):
        return {"file": "a name"}
"""
COUNTED = """
layer {{ name: "data" type: "Python" top: "x" python_param {{ module: "{module}" layer: "{layer}" }} }}
layer {{
  name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }}
}}
layer {{ name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 }}
"""


def counted(tmp_path: Path, layer: str) -> Path:
    module = f"counting_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(COUNTING)
    return plain(tmp_path, COUNTED.format(module=module, layer=layer), "base_lr: 1e-4 snapshot: 5")


def test_a_layer_of_ones_own_goes_on_with_what_it_said_it_remembers(tmp_path: Path) -> None:
    path = counted(tmp_path, "Counting")
    straight, told = solver_of(path)
    straight.step(9)
    resumed, said = solver_of(path)
    resumed.restore(tmp_path / "s_iter_5.solverstate")
    resumed.step(4)
    assert said.lines == [line for line in told.lines if line[1] >= 5]
    assert whole(resumed) == whole(straight)


def test_what_cannot_be_kept_is_told_with_the_layer(tmp_path: Path) -> None:
    solver, _ = solver_of(counted(tmp_path, "Odd"))
    with pytest.raises(SnapshotError, match=r'layer "data" \(Python\): extra_state cannot be kept .*: it holds a str'):
        solver.step(5)
    assert not list(tmp_path.glob("s_iter*"))


def test_an_error_of_the_data_within_an_iteration_leaves_a_snapshot_of_the_last_whole_one(tmp_path: Path) -> None:
    source = images(tmp_path).replace("rand_skip: 5", "").replace("shuffle: true", "")
    net = (
        f'layer {{ name: "data" top: "x" top: "y" {source} }}\n'
        'layer { name: "norm" type: "BatchNorm" bottom: "x" top: "n" }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "n" top: "ip" '
        'inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }\n'
        'layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 }'
    )
    path = plain(tmp_path, net, "base_lr: 0.1 max_iter: 4 iter_size: 2")
    good, copied = (tmp_path / "0.png").read_bytes(), tmp_path / "copy.png"
    copied.write_bytes(good)
    more = [f"{tmp_path}/{index % 7}.png {index % 7}" for index in range(24)]
    more[16] = f"{copied} 2"  # in the second batch of the third iteration
    (tmp_path / "list.txt").write_text("\n".join(more) + "\n")
    straight, _ = solver_of(path)
    straight.step(4)
    copied.write_bytes(b"no image")
    failed, _ = solver_of(path)
    with pytest.raises(DataError):
        failed.solve()
    copied.write_bytes(good)
    resumed, _ = solver_of(path)
    resumed.restore(tmp_path / "s_iter_2.solverstate")
    resumed.step(2)
    assert whole(resumed) == whole(straight)


def test_no_snapshot_is_written_in_the_last_test(folder: Path, tmp_path: Path) -> None:
    path = files(folder, tmp_path / "s", more="test_initialization: false", iterations=6)
    solver, _ = solver_of(path)
    solver.step(6)
    solver.close()
    again, _ = solver_of(path)
    again.solve()
    state = tmp_path / "s_iter_6.solverstate"
    kept = read_state(state).run.net
    third, _ = solver_of(path)
    third.request = Asks(6 + 5 + 2, Action.SNAPSHOT)  # 6 updates, the round at 3, and two batches of the last one
    third.solve()
    assert read_state(state).run.net == kept


def test_a_copied_snapshot_brings_its_own_weights(folder: Path, tmp_path: Path) -> None:
    path = files(folder, tmp_path / "a" / "s")
    solver, _ = solver_of(path)
    solver.step(2)
    solver.snapshot()
    kept = whole(solver)
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    other, _ = solver_of(files(folder, tmp_path / "a" / "s", more="random_seed: 9"))
    other.step(2)
    other.snapshot()
    resumed, _ = solver_of(path)
    resumed.restore(tmp_path / "backup" / "s_iter_2.solverstate")
    assert whole(resumed) == kept


def test_a_state_of_another_solver_type_is_refused(folder: Path, tmp_path: Path) -> None:
    solver, _ = solver_of(files(folder, tmp_path / "s", "SGD"))
    solver.step(1)
    solver.snapshot()
    other, _ = solver_of(files(folder, tmp_path / "s", "RMSProp"))
    with pytest.raises(SnapshotError, match=r's_iter_1.solverstate: the state is of a solver of type "SGD", and this'):
        other.restore(tmp_path / "s_iter_1.solverstate")
    assert other.iter == 0


def _as_real(entry: Any) -> None:
    entry.ClearField("whole")
    entry.real = 3.5


def _far(entry: Any) -> None:
    entry.whole = 2**63 - 1


def _no_array(entry: Any) -> None:
    entry.ClearField("whole")
    entry.array, entry.tensor = b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4\n", True


@pytest.mark.parametrize("damage", [_as_real, _far, _no_array])
def test_what_a_layer_cannot_have_remembered_is_damage(
    damage: Callable[[Any], None], folder: Path, tmp_path: Path
) -> None:
    solver, _ = solver_of(files(folder, tmp_path / "s"))
    solver.step(1)
    solver.snapshot()
    state = read_state(tmp_path / "s_iter_1.solverstate")
    damage(next(layer for layer in state.run.net[0].layer if layer.name == "data").remembered[0])
    write_state(tmp_path / "odd.solverstate", state)
    before = whole(solver)
    with pytest.raises(SnapshotError, match=r"odd.solverstate: the solver state is damaged(.|\n)*go on from another"):
        solver.restore(tmp_path / "odd.solverstate")
    assert whole(solver) == before
