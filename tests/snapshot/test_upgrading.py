"""Weights of any age as files of today: recorded ones of the original's tool, old ones, ones of forks."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from caffelite import proto
from caffelite.errors import SnapshotError
from caffelite.snapshot import read_weights
from caffelite.snapshot.upgrading import upgraded_weights
from caffelite.snapshot.wire import bytes_field, number_field

from ..conftest import find_golden


def upgraded(path: Path, data: bytes) -> tuple[bytes | None, str]:
    """The upgraded content, or None; and the notes."""
    path.write_bytes(data)
    pieces, notes = upgraded_weights(path)
    return None if pieces is None else b"".join(pieces), "\n".join(map(str, notes))


@pytest.mark.parametrize("case", ["v1_model_legacy_dims", "v1_model_shape"])
def test_v1_weights_become_byte_for_byte_what_the_original_wrote(case: str, tmp_path: Path) -> None:
    new, notes = upgraded(tmp_path / "a", find_golden(f"upgrade/{case}.caffemodel").read_bytes())
    assert new == find_golden(f"upgrade/{case}.upgraded.caffemodel").read_bytes()
    assert "3 layers of the V1 form" in notes
    assert upgraded(tmp_path / "b", new) == (None, "")


def test_v0_weights_get_a_layer_of_today(tmp_path: Path) -> None:
    net = proto.NetParameter(name="old", input=["x"], input_dim=[1, 1, 8, 8])
    padding = net.layers.add(bottom=["x"], top=["p"]).layer
    padding.name, padding.type, padding.pad = "p", "padding", 1
    conv = net.layers.add(bottom=["p"], top=["c"]).layer
    conv.name, conv.type, conv.num_output, conv.kernelsize = "c", "conv", 2, 1
    conv.blobs.add(num=1, channels=1, height=1, width=2, data=[1, 2])
    new, _ = upgraded(tmp_path / "a", net.SerializeToString())
    message = proto.NetParameter.FromString(new)
    assert [(layer.name, layer.type, len(layer.blobs)) for layer in message.layer] == [
        ("input", "Input", 0),
        ("c", "Convolution", 1),
    ]
    assert list(message.layer[1].convolution_param.pad) == [1]
    assert message.layer[1].blobs[0] == conv.blobs[0]


def raw_blob(values: np.ndarray, kind: int, diff: bool = False) -> bytes:
    """A BlobProto as NVIDIA's fork writes it: a type (0 double, 1 float, 2 half), and bytes."""
    shape = proto.BlobShape(dim=values.shape).SerializeToString()
    pieces = [*bytes_field(7, [shape]), number_field(10, kind), *bytes_field(12, [values.tobytes()])]
    if diff:
        pieces += [number_field(11, kind), *bytes_field(13, [(2 * values).tobytes()])]
    return b"".join(pieces)


@pytest.mark.parametrize(("kind", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_raw_numbers_of_nvidia(kind: int, dtype: str, tmp_path: Path) -> None:
    values = np.array([[1.5, -2], [0.25, 65504]], dtype)
    layer = [*bytes_field(1, [b"a"]), *bytes_field(2, [b"Convolution"])]
    layer += bytes_field(7, [raw_blob(values, kind, diff=kind != 2)])
    new, notes = upgraded(tmp_path / "a", b"".join(bytes_field(100, layer)))
    (read,) = read_weights(tmp_path / "a").layers
    np.testing.assert_array_equal(read.blobs[0], values.astype(np.float32))
    assert "1 weight blob of NVIDIA's raw form" in notes
    blob = proto.NetParameter.FromString(new).layer[0].blobs[0]
    assert list(blob.data) == values.reshape(-1).tolist()
    assert list(blob.diff) == ([] if kind == 2 else (2 * values).reshape(-1).tolist())
    assert blob.shape.dim == [2, 2]
    assert upgraded(tmp_path / "b", new) == (None, "")


def test_raw_numbers_of_an_unknown_type_are_told(tmp_path: Path) -> None:
    layer = [*bytes_field(1, [b"a"]), *bytes_field(7, [raw_blob(np.ones(2, np.int32), 3)])]
    (tmp_path / "a").write_bytes(b"".join(bytes_field(100, layer)))
    with pytest.raises(SnapshotError, match='layer "a": weight blob 0 cannot be read: numbers of type 3'):
        read_weights(tmp_path / "a")


def test_fields_that_a_fork_numbered_otherwise_do_no_harm(tmp_path: Path) -> None:
    """Where V1 has a convolution's settings (10), a fork has bytes that are none."""
    blob = proto.BlobProto(data=[1, 2, 3], shape={"dim": [3]}).SerializeToString()
    layer = [*bytes_field(4, [b"a"]), number_field(5, 4), *bytes_field(10, [b"\x05"]), *bytes_field(6, [blob])]
    layer += bytes_field(19, [proto.PoolingParameter(kernel_size=3).SerializeToString()])
    new, notes = upgraded(tmp_path / "a", b"".join([*bytes_field(1, [b"n"]), *bytes_field(2, layer)]))
    (read,) = read_weights(tmp_path / "a").layers
    assert (read.name, read.type, read.blobs[0].tolist()) == ("a", "Convolution", [1, 2, 3])
    (written,) = proto.NetParameter.FromString(new).layer
    assert (written.name, written.pooling_param.kernel_size, list(written.blobs[0].data)) == ("a", 3, [1, 2, 3])
    assert "1 setting that the schema does not read left out; weights are not concerned" in notes


def test_what_is_of_today_is_left_alone(tmp_path: Path) -> None:
    net = proto.NetParameter(name="n")
    net.layer.add(name="a").blobs.add(num=1, channels=1, height=1, width=1, double_data=[3])
    assert upgraded(tmp_path / "a", net.SerializeToString()) == (None, "")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_group("data/a")["0"] = np.ones(3, np.float32)
    assert upgraded_weights(tmp_path / "b.h5") == (None, [])


def test_what_holds_no_weights_or_has_two_readings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(proto.SolverState(iter=3, current_step=1).SerializeToString())
    with pytest.raises(SnapshotError, match="no weights can be read: the file is a solver state"):
        upgraded_weights(tmp_path / "state")
    mixed = proto.NetParameter(name="n")
    mixed.layer.add(name="a", type="ReLU")
    mixed.layers.add(name="b", type="RELU")
    (tmp_path / "mixed").write_bytes(mixed.SerializeToString())
    with pytest.raises(SnapshotError, match="its layers cannot be brought to today's form: 1 layer written as `layer`"):
        upgraded_weights(tmp_path / "mixed")
    (tmp_path / "cut").write_bytes(mixed.SerializeToString()[:-3])
    with pytest.raises(SnapshotError, match="damaged"):
        upgraded_weights(tmp_path / "cut")
