"""Weights that say what they are the best of."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from caffelite.errors import SnapshotError
from caffelite.proto import BestOf, LayerParameter, NetParameter, RunState
from caffelite.snapshot import (
    Kind,
    LayerParts,
    NetParts,
    SolverStateData,
    hdf5,
    kind_of,
    read_best,
    read_weights,
    write_state,
    write_weights,
)
from caffelite.snapshot.wire import bytes_field, number_field

BEST = BestOf(run="0a1b2c3d", iteration=500, output="accuracy", value=0.875)
LAYERS = [LayerParts(LayerParameter(name="ip", type="InnerProduct"), [np.arange(6, dtype=np.float32).reshape(2, 3)])]


@pytest.fixture(params=["binary", "HDF5"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def write(path: Path, form: str, best: BestOf | None) -> None:
    if form == "binary":
        write_weights(path, NetParts("n", LAYERS, best))
    else:
        hdf5.write_weights(str(path), LAYERS, {("ip", 0)}, best)


def test_it_is_read_back_and_the_weights_are_as_without_it(form: str, tmp_path: Path) -> None:
    for name, best in (("with", BEST), ("without", None)):
        write(tmp_path / name, form, best)
        assert read_best(tmp_path / name) == best
        assert kind_of(tmp_path / name) in (Kind.WEIGHTS, Kind.HDF5_WEIGHTS)
        (layer,) = read_weights(tmp_path / name).layers
        assert np.array_equal(layer.blobs[0], LAYERS[0].blobs[0])


def test_whoever_knows_the_schema_of_the_original_only_passes_over_it(tmp_path: Path) -> None:
    for name, best in (("with", BEST), ("without", None)):
        write(tmp_path / name, "binary", best)
    # Field 5000 of the net, behind everything else.
    added = b"".join(bytes(piece) for piece in bytes_field(5000, [BEST.SerializeToString()]))
    assert (tmp_path / "with").read_bytes() == (tmp_path / "without").read_bytes() + added
    read = NetParameter.FromString((tmp_path / "with").read_bytes())
    read.DiscardUnknownFields()
    assert read == NetParameter.FromString((tmp_path / "without").read_bytes())
    with h5py.File(tmp_path / "h5", "w") as file:
        file.create_group("data")
    write(tmp_path / "h5", "HDF5", BEST)
    with h5py.File(tmp_path / "h5") as file:
        assert list(file) == ["data"]


def test_nothing_is_known_of_other_weights(tmp_path: Path) -> None:
    (tmp_path / "fork").write_bytes(b"".join([number_field(5000, 7), *map(bytes, bytes_field(1, [b"net"]))]))
    assert read_best(tmp_path / "fork") is None
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file.create_group("data")
    assert read_best(tmp_path / "plain.h5") is None


def test_what_is_damaged_or_holds_no_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="none: cannot be read"):
        read_best(tmp_path / "none")
    write(tmp_path / "cut", "binary", BEST)
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-1])
    with pytest.raises(SnapshotError, match="damaged or cut off"):
        read_best(tmp_path / "cut")
    (tmp_path / "odd").write_bytes(b"".join(map(bytes, [*bytes_field(1, [b"net"]), *bytes_field(5000, [b"\xff"])])))
    with pytest.raises(SnapshotError, match="what it says it is the best of cannot be read"):
        read_best(tmp_path / "odd")
    write_state(tmp_path / "state", SolverStateData(3, "x", [np.ones(2, np.float32)], 0, RunState(id="0a")))
    with pytest.raises(SnapshotError, match="no weights can be read: the file is a solver state"):
        read_best(tmp_path / "state")
    hdf5.write_state(str(tmp_path / "state.h5"), SolverStateData(3, "x", [np.ones(2, np.float32)]))
    with pytest.raises(SnapshotError, match="the file is a solver state in HDF5"):
        read_best(tmp_path / "state.h5")
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file.create_group("data")
        file.attrs["caffelite_best"] = "text"
    with pytest.raises(SnapshotError, match="damaged"):
        read_best(tmp_path / "odd.h5")
