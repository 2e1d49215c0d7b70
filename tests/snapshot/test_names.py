"""Names of snapshots, and the newest whole one of a prefix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite import proto
from caffelite.errors import SnapshotError
from caffelite.snapshot import (
    LayerParts,
    NetParts,
    SolverStateData,
    best_name,
    newest,
    snapshot_names,
    snapshots,
    whole,
    write_state,
    write_weights,
)


def take(prefix: str, iteration: int) -> None:
    model, state = snapshot_names(prefix, iteration)
    write_weights(model, NetParts("n", [LayerParts(proto.LayerParameter(name="a"), [np.ones(3)])]))
    write_state(state, SolverStateData(iteration, str(model), [np.ones(3, np.float32)]))


def test_names_are_those_of_the_original() -> None:
    assert snapshot_names("out/lenet", 500) == (
        Path("out/lenet_iter_500.caffemodel"),
        Path("out/lenet_iter_500.solverstate"),
    )


@pytest.mark.parametrize("prefix", ["lenet", "le[n]et+", ""])
def test_snapshots_of_a_prefix_come_oldest_first(tmp_path: Path, prefix: str) -> None:
    for iteration in (9, 10, 100):
        take(f"{tmp_path}/{prefix}", iteration)
        take(f"{tmp_path}/other_{prefix}", iteration + 1)
    assert [snapshot.iteration for snapshot in snapshots(f"{tmp_path}/{prefix}")] == [9, 10, 100]


def test_the_newest_whole_snapshot_is_found(tmp_path: Path) -> None:
    prefix = f"{tmp_path}/a"
    assert newest(prefix) is None
    assert newest(f"{tmp_path}/no/such/folder/a") is None
    for iteration in (8, 10, 20, 30):
        take(prefix, iteration)
    assert newest(prefix) == (30, *snapshot_names(prefix, 30))
    model, state = snapshot_names(prefix, 30)
    state.write_bytes(state.read_bytes()[:-3])
    assert newest(prefix) == (20, *snapshot_names(prefix, 20))
    snapshot_names(prefix, 20)[0].unlink()
    assert newest(prefix) == (10, *snapshot_names(prefix, 10))
    snapshot_names(prefix, 10)[0].write_bytes(model.read_bytes()[:-1])
    assert newest(prefix) == (8, *snapshot_names(prefix, 8))


def test_a_prefix_without_folder_means_the_working_directory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    take("a", 1)
    found = newest("a")
    assert found is not None
    assert found.iteration == 1


def test_the_best_weights_have_a_name_without_an_iteration(tmp_path: Path) -> None:
    assert best_name("out/lenet") == Path("out/lenet_best.caffemodel")
    assert best_name("out/lenet", of="0a1b") == Path("out/lenet_best_of_0a1b.caffemodel")
    take(f"{tmp_path}/a", 5)
    best_name(tmp_path / "a").touch()
    assert [snapshot.iteration for snapshot in snapshots(tmp_path / "a")] == [5]


def test_a_snapshot_is_whole_or_what_it_lacks_is_said(tmp_path: Path) -> None:
    take(f"{tmp_path}/a", 5)
    (snapshot,) = snapshots(tmp_path / "a")
    assert whole(snapshot) == snapshot
    snapshot.model.unlink()
    with pytest.raises(SnapshotError, match=snapshot.model.name):
        whole(snapshot)
