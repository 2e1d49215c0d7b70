"""Solver states: recorded ones in both forms, written again, damaged; where their weights are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from google.protobuf.message import DecodeError

from caffelite import proto
from caffelite.errors import SnapshotError
from caffelite.snapshot import SolverStateData, read_state, read_weights, write_state
from caffelite.snapshot.solverstate import find_learned_net

from ..conftest import ALL, CARRIED

Golden = Callable[[str], Path]
CASES = sorted({path.parent.name for root in (ALL, CARRIED) for path in root.glob("solvers/*/trajectory.npz")})


@pytest.mark.parametrize("case", CASES)
def test_both_recorded_forms_hold_what_was_recorded(golden: Golden, case: str) -> None:
    folder = golden(f"solvers/{case}/snap_iter_20.caffemodel.h5").parent
    recorded = np.load(folder / "trajectory.npz")
    states = [read_state(folder / f"snap_iter_20.solverstate{end}") for end in ("", ".h5")]
    assert [state.learned_net for state in states] == ["snap_iter_20.caffemodel", "snap_iter_20.caffemodel.h5"]
    assert states[0].current_step == states[1].current_step
    for state in states:
        assert state.iter == 20
        assert len(state.history) == sum(key.startswith("history20/") for key in recorded)
        for index, array in enumerate(state.history):
            np.testing.assert_array_equal(array, recorded[f"history20/{index}"], strict=True)
    weights = [read_weights(folder / f"snap_iter_20.caffemodel{end}") for end in ("", ".h5")]
    named = {layer.name: layer.blobs for layer in weights[0].layers}
    for layer in weights[1].layers:
        for one, other in zip(named[layer.name], layer.blobs, strict=False):
            assert other is None or np.array_equal(one, other)


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_state_written_again_is_the_same_bytes(golden: Golden, tmp_path: Path, case: str) -> None:
    path = golden(f"solvers/{case}/trajectory.npz").parent / "snap_iter_20.solverstate"
    write_state(tmp_path / "again", read_state(path))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_what_is_written_is_what_protobuf_reads(tmp_path: Path) -> None:
    history = [np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(4)]
    write_state(tmp_path / "a", SolverStateData(7, None, history, 2))
    expected = proto.SolverState(iter=7, current_step=2)
    expected.history.add(data=range(6)).shape.dim.extend([2, 3])
    expected.history.add(data=[4])
    assert proto.SolverState.FromString((tmp_path / "a").read_bytes()) == expected
    back = read_state(tmp_path / "a")
    assert (back.iter, back.learned_net, back.current_step) == (7, None, 2)
    assert [array.shape for array in back.history] == [(2, 3), ()]


def test_a_state_cut_off_anywhere_is_refused_unless_it_ends_with_a_field(golden: Golden, tmp_path: Path) -> None:
    whole = golden("solvers/adam/snap_iter_20.solverstate").read_bytes()
    path, complete = tmp_path / "cut.solverstate", 0
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            proto.SolverState.FromString(whole[:end])
            decodes = end > 0
        except DecodeError:
            decodes = False
        if decodes:
            complete += 1
            assert read_state(path).iter == 20
        else:
            with pytest.raises(SnapshotError, match=r"cut\.solverstate: "):
                read_state(path)
    assert complete == 2 + 8  # after iter, learned_net, and each of Adam's 2 × 4 arrays


def test_an_hdf5_state_cut_off_anywhere_is_refused(golden: Golden, tmp_path: Path) -> None:
    whole = golden("solvers/adam/snap_iter_20.solverstate.h5").read_bytes()
    for end in range(0, len(whole), len(whole) // 50):
        (tmp_path / "cut.h5").write_bytes(whole[:end])
        with pytest.raises(SnapshotError, match=r"cut\.h5: "):
            read_state(tmp_path / "cut.h5")


def test_an_hdf5_state_that_lacks_something_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["iter"] = [1]
    with pytest.raises(SnapshotError, match="history"):
        read_state(tmp_path / "a.h5")


def test_weights_are_no_solver_state(golden: Golden) -> None:
    for name in ("weights/shared.caffemodel", "weights/shared.caffemodel.h5"):
        with pytest.raises(SnapshotError, match=r"the file is weights.*\n  help: .*--weights"):
            read_state(golden(name))


def test_learned_weights_are_looked_for_as_given_then_beside_the_state(tmp_path: Path, monkeypatch) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir(), elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    state = run / "a_iter_1.solverstate"
    for given in ("gone/a.caffemodel", "C:\\gone\\a.caffemodel"):
        with pytest.raises(SnapshotError) as caught:
            find_learned_net(state, given)
        assert f"neither {given} nor {run / 'a.caffemodel'} exists" in str(caught.value)
    (run / "a.caffemodel").touch()
    assert find_learned_net(state, "gone/a.caffemodel")[0] == run / "a.caffemodel"
    assert find_learned_net(state, "C:\\gone\\a.caffemodel")[0] == run / "a.caffemodel"
    (elsewhere / "a.caffemodel").touch()
    assert find_learned_net(state, "a.caffemodel")[0].resolve() == elsewhere / "a.caffemodel"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_names_that_no_file_can_have_are_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(SnapshotError, match="are missing"):
        find_learned_net(tmp_path / "a_iter_1.solverstate", name)
    with pytest.raises(SnapshotError, match="cannot be read"):
        read_state(name)


@pytest.mark.parametrize("field", ["iter", "current_step"])
@pytest.mark.parametrize("count", [-5, 2**31, 2**62])
def test_a_number_that_counts_nothing_is_damage(tmp_path: Path, field: str, count: int) -> None:
    numbers = {"iter": 1, "current_step": 1} | {field: count}
    path = tmp_path / "a.solverstate"
    write_state(path, SolverStateData(numbers["iter"], None, [], numbers["current_step"]))
    with pytest.raises(SnapshotError, match=f"damaged: {field} is"):
        read_state(path)
    with h5py.File(path, "w") as file:
        file.create_group("history")
        for name, value in numbers.items():
            file[name] = np.array([value])
    with pytest.raises(SnapshotError, match=f"damaged: {field} is"):
        read_state(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"iter": np.zeros(0, np.int32)}, "damaged"),
        ({"learned_net": np.array([b"a", b"b"])}, "learned_net is no text"),
        ({"learned_net": np.float32(1)}, "learned_net is no text"),
        ({"history/99999999999": np.zeros(1)}, "a blob with the number 99999999999"),
    ],
)
def test_an_hdf5_state_that_holds_something_else_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "a.solverstate.h5"
    with h5py.File(path, "w") as file:
        file.create_group("history")
        for name, value in ({"iter": np.array([1])} | change).items():
            file[name] = value
    with pytest.raises(SnapshotError, match=said):
        read_state(path)


def test_hdf5_weights_that_memory_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data/ip/0", (2**50,), "f4", chunks=(1000,))
    with pytest.raises(SnapshotError, match="damaged"):
        read_weights(path)
