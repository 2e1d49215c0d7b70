"""Weight files: recorded ones of the original, old ones, ones of forks, damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from google.protobuf.message import DecodeError

from caffelite import proto
from caffelite.errors import SnapshotError
from caffelite.snapshot import Kind, LayerParts, NetParts, array_to_blob, kind_of, read_weights, write_weights
from caffelite.snapshot.wire import bytes_field, varint

Golden = Callable[[str], Path]
RECORDED = ("many_layers", "shared", "slash_in_name")


def params(path: Path) -> dict[tuple[str, int], np.ndarray]:
    """param/<layer>/<i> of a recorded npz; the layer's name may hold slashes."""
    stored = np.load(path)
    keys = [key.removeprefix("param/") for key in stored if key.startswith("param/")]
    return {(key.rpartition("/")[0], int(key.rpartition("/")[2])): stored[f"param/{key}"] for key in keys}


def held(path: Path) -> dict[tuple[str, int], np.ndarray]:
    layers = read_weights(path).layers
    return {(layer.name, i): blob for layer in layers for i, blob in enumerate(layer.blobs) if blob is not None}


def assert_equal(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for key, array in expected.items():
        assert found[key].shape == array.shape
        np.testing.assert_array_equal(found[key], array)


@pytest.mark.parametrize("case", RECORDED)
def test_binary_weights_of_the_original_are_read(golden: Golden, case: str) -> None:
    assert_equal(held(golden(f"weights/{case}.caffemodel")), params(golden(f"weights/{case}.npz")))
    weights = read_weights(golden(f"weights/{case}.caffemodel"))
    message = proto.NetParameter.FromString(golden(f"weights/{case}.caffemodel").read_bytes())
    assert weights.name == message.name
    assert [(layer.name, layer.type) for layer in weights.layers] == [(x.name, x.type) for x in message.layer]


def test_hdf5_weights_of_the_original_are_read(golden: Golden) -> None:
    folder = golden("weights/many_layers.npz").parent
    assert_equal(held(folder / "many_layers.caffemodel.h5"), params(folder / "many_layers.npz"))


def test_hdf5_leaves_shared_weights_to_their_owner(golden: Golden) -> None:
    found, every = held(golden("weights/shared.caffemodel.h5")), params(golden("weights/shared.npz"))
    assert_equal(found, {key: every[key] for key in [("a", 0), ("a", 1), ("c", 1)]})
    layers = {layer.name: layer for layer in read_weights(golden("weights/shared.caffemodel.h5")).layers}
    assert layers["b"].blobs == []
    assert layers["c"].blobs[0] is None


@pytest.mark.parametrize("case", ["v1_model_legacy_dims", "v1_model_shape"])
def test_v1_weights_are_read(golden: Golden, case: str) -> None:
    weights = read_weights(golden(f"upgrade/{case}.caffemodel"))
    upgraded = read_weights(golden(f"upgrade/{case}.upgraded.caffemodel"))
    expected = params(golden(f"upgrade/{case}.npz"))
    assert [(x.name, x.type) for x in weights.layers] == [
        (x.name, x.type) for x in upgraded.layers if x.type != "Input"
    ]
    found = held(golden(f"upgrade/{case}.caffemodel"))
    assert set(found) == set(expected)
    for key, array in expected.items():  # legacy sizes are padded with ones in front
        np.testing.assert_array_equal(found[key].reshape(array.shape), array)


def test_v0_weights_are_read(tmp_path: Path) -> None:
    net = proto.NetParameter(name="old")
    layer = net.layers.add(bottom=["x"], top=["y"]).layer
    layer.name, layer.type, layer.num_output = "c", "conv", 2
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[1, 2])
    (tmp_path / "old").write_bytes(net.SerializeToString())
    (read,) = read_weights(tmp_path / "old").layers
    assert (read.name, read.type) == ("c", "Convolution")
    np.testing.assert_array_equal(read.blobs[0], np.array([[[[1, 2]]]]))


def test_fields_of_a_fork_do_no_harm(tmp_path: Path) -> None:
    """A field number that Caffe gives a message and a fork a number makes the whole file undecodable to protobuf."""
    blob = array_to_blob(np.arange(3.0)).SerializeToString()
    layer = proto.LayerParameter(name="a", type="Odd").SerializeToString()
    layer += varint(106 << 3) + varint(7) + b"".join(bytes_field(106, [b"\x05"])) + b"".join(bytes_field(7, [blob]))
    data = b"".join(bytes_field(100, [layer])) + varint(8 << 3) + varint(1)
    (tmp_path / "fork").write_bytes(data)
    with pytest.raises(DecodeError):
        proto.NetParameter.FromString(data)
    (read,) = read_weights(tmp_path / "fork").layers
    assert (read.name, read.type) == ("a", "Odd")
    np.testing.assert_array_equal(read.blobs[0], np.arange(3.0))


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_weights_written_again_are_the_same_bytes(golden: Golden, tmp_path: Path, case: str) -> None:
    path = golden(f"weights/{case}.caffemodel")
    message = proto.NetParameter.FromString(path.read_bytes())
    read = read_weights(path)
    parts = [LayerParts(settings, layer.blobs) for settings, layer in zip(message.layer, read.layers, strict=True)]
    write_weights(tmp_path / "parts", NetParts(read.name, parts))
    write_weights(tmp_path / "message", message)
    assert proto.NetParameter.FromString((tmp_path / "parts").read_bytes()) == message
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "message").read_bytes() == path.read_bytes()


def test_gradients_are_written_and_read(tmp_path: Path) -> None:
    data, diff = np.ones((2, 2), np.float32), np.full((2, 2), 3, np.float32)
    write_weights(tmp_path / "a", NetParts("n", [LayerParts(proto.LayerParameter(name="a"), [data], [diff])]))
    (layer,) = read_weights(tmp_path / "a").layers
    np.testing.assert_array_equal(layer.diffs[0], diff)
    assert list(proto.NetParameter.FromString((tmp_path / "a").read_bytes()).layer[0].blobs[0].diff) == [3] * 4


@pytest.mark.parametrize("name", ["weights/shared.caffemodel", "upgrade/v1_model_shape.caffemodel"])
def test_binary_weights_cut_off_anywhere_are_refused_unless_they_end_with_a_layer(
    golden: Golden, tmp_path: Path, name: str
) -> None:
    whole, path = golden(name).read_bytes(), tmp_path / "cut.caffemodel"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            proto.NetParameter.FromString(whole[:end])
            decodes = end > 0
        except DecodeError:
            decodes = False
        if decodes:
            assert len(read_weights(path).layers) <= len(read_weights(golden(name)).layers)
        else:
            with pytest.raises(SnapshotError, match=r"cut\.caffemodel: "):
                read_weights(path)


def test_hdf5_weights_cut_off_anywhere_are_refused(golden: Golden, tmp_path: Path) -> None:
    whole, path = golden("weights/shared.caffemodel.h5").read_bytes(), tmp_path / "cut.h5"
    for end in [*range(24), *range(24, len(whole), len(whole) // 50)]:
        path.write_bytes(whole[:end])
        with pytest.raises(SnapshotError, match=r"cut\.h5: "):
            read_weights(path)


def test_any_byte_changed_gives_weights_or_a_snapshot_error(golden: Golden, tmp_path: Path) -> None:
    whole, path = golden("weights/shared.caffemodel").read_bytes(), tmp_path / "changed"
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            read_weights(path)
        except SnapshotError:
            refused += 1
    assert refused


OTHERS = {
    Kind.EMPTY: b"",
    Kind.PROTOTXT: b'# a net\nname: "LeNet"\nlayer {\n}\n',
    Kind.LFS: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    Kind.WEB_PAGE: b"\n<!DOCTYPE html><html></html>",
    Kind.ARCHIVE: b"PK\x03\x04rest",
    Kind.STATE: proto.SolverState(iter=3, learned_net="x").SerializeToString(),
    Kind.BLOB: proto.BlobProto(num=1, channels=1, height=1, width=1, data=[1]).SerializeToString(),
    Kind.UNKNOWN: b"\x08\x01\x30\x01",
    Kind.DAMAGED: b"\xff" * 30,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_kind_of_file_is_named_for_what_it_is(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "file").write_bytes(OTHERS[kind])
    assert kind_of(tmp_path / "file") is kind
    with pytest.raises(SnapshotError) as caught:
        read_weights(tmp_path / "file")
    assert kind.value in str(caught.value)


def test_a_solver_state_of_the_original_is_no_weight_file(golden: Golden) -> None:
    for end in ("", ".h5"):
        with pytest.raises(SnapshotError, match=r"a solver state.*\n  help: weights are in the \.caffemodel"):
            read_weights(golden(f"solvers/adam/snap_iter_20.solverstate{end}"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"nothing: cannot be read: No such file"):
        read_weights(tmp_path / "nothing")


def test_names_with_slashes_are_groups_within_groups_in_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data/block/conv/0"] = np.ones(2)
        file["data/block/conv/1"] = np.zeros(1)
        file["data/plain/0"] = np.arange(3)
        file.create_group("data/block/relu")
    found = {layer.name: [blob.shape for blob in layer.blobs] for layer in read_weights(tmp_path / "a.h5").layers}
    assert found == {"block/conv": [(2,), (1,)], "plain": [(3,)], "block/relu": []}
