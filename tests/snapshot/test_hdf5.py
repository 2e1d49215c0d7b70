"""HDF5 snapshots are laid out as the original's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caffelite.errors import SnapshotError
from caffelite.proto import LayerParameter
from caffelite.snapshot import LayerParts, hdf5, read_state, read_weights


def contents(path: Path) -> dict[str, Any]:
    """Every object by its path: None for a group; type as stored, shape and values of a dataset."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        found[name] = None
        if isinstance(item, h5py.Dataset):
            found[name] = (item.id.get_type().encode(), item.shape, np.asarray(item[()]).tolist())

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_a_state_is_written_as_the_original_wrote_it(golden: Callable[[str], Path], tmp_path: Path) -> None:
    recorded = golden("solvers/adam/snap_iter_20.solverstate.h5")
    hdf5.write_state(str(tmp_path / "s.h5"), read_state(recorded))
    assert contents(tmp_path / "s.h5") == contents(recorded)


def test_weights_are_written_as_the_original_wrote_them(golden: Callable[[str], Path], tmp_path: Path) -> None:
    recorded = golden("solvers/adam/snap_iter_20.caffemodel.h5")
    layers = [LayerParts(LayerParameter(name=layer.name), layer.blobs) for layer in read_weights(recorded).layers]
    owned = {(layer.settings.name, slot) for layer in layers for slot in range(len(layer.blobs))}
    hdf5.write_weights(str(tmp_path / "w.h5"), layers, owned)
    assert contents(tmp_path / "w.h5") == contents(recorded)


def test_a_shared_blob_is_written_with_its_owner_only_and_every_gradient(tmp_path: Path) -> None:
    ones = np.ones((2, 3), np.float32)
    layers = [LayerParts(LayerParameter(name=name), [ones, ones], [ones, 2 * ones]) for name in ("a", "b")]
    hdf5.write_weights(str(tmp_path / "w.h5"), layers, {("a", 0), ("a", 1), ("b", 1)})
    with h5py.File(tmp_path / "w.h5") as file:
        assert {name: list(file[name]) for name in ("data/a", "data/b", "diff/b")} == {
            "data/a": ["0", "1"],
            "data/b": ["1"],
            "diff/b": ["0", "1"],
        }


def test_names_that_cannot_be_groups_are_refused(tmp_path: Path) -> None:
    layers = [LayerParts(LayerParameter(name=name)) for name in ("a/b", "c", "c", "")]
    with pytest.raises(SnapshotError) as caught:
        hdf5.write_weights(str(tmp_path / "x.h5"), layers, set())
    assert [fault.message for fault in caught.value.faults] == [
        "a name with a slash cannot be saved in HDF5",
        "a layer without a name cannot be saved in HDF5",
        "a name of two layers cannot be saved in HDF5",
    ]
    assert not list(tmp_path.iterdir())
