"""Arrays ↔ BlobProto, against protobuf's own fields."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from caffelite import proto
from caffelite.errors import SnapshotError
from caffelite.snapshot import array_to_blob, blob_to_array
from caffelite.snapshot.blobs import decode, encode
from caffelite.snapshot.wire import WireError, fields, number_field, read_varint, varint

ANY_ARRAY = arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))


@given(ANY_ARRAY)
def test_an_array_becomes_what_protobuf_would_hold(array: np.ndarray) -> None:
    blob = array_to_blob(array)
    expected = proto.BlobProto(data=array.reshape(-1).tolist())
    if array.ndim:
        expected.shape.dim.extend(array.shape)
    assert blob.SerializeToString() == expected.SerializeToString() == b"".join(encode(array))


@given(ANY_ARRAY)
def test_an_array_comes_back(array: np.ndarray) -> None:
    back = blob_to_array(array_to_blob(array))
    assert back.dtype == np.float32
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_a_gradient_travels_with_the_data() -> None:
    data, diff = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    blob = array_to_blob(data, diff)
    assert list(blob.diff) == [1] * 6
    back, back_diff = decode(memoryview(blob.SerializeToString()))
    np.testing.assert_array_equal(back, data)
    np.testing.assert_array_equal(back_diff, diff)


def test_arrays_of_any_order_and_type_are_written_as_rows_of_float32() -> None:
    array = np.arange(12, dtype=np.int64).reshape(3, 4).T
    assert list(array_to_blob(array).data) == array.reshape(-1).tolist()


def test_legacy_sizes_doubles_and_unpacked_numbers_are_read() -> None:
    legacy = proto.BlobProto(num=1, channels=1, height=2, width=3, data=range(6))
    assert blob_to_array(legacy).shape == (1, 1, 2, 3)
    both = proto.BlobProto(shape={"dim": [2]}, data=[9, 9], double_data=[0.5, 0.25])
    assert blob_to_array(both).tolist() == [0.5, 0.25]
    unpacked = b"".join(b"\x2d" + np.float32(value).tobytes() for value in (1.5, 2.5)) + b"\x3a\x02\x08\x02"
    assert decode(memoryview(unpacked))[0].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    "blob",
    [
        proto.BlobProto(shape={"dim": [2, 3]}, data=range(5)),
        proto.BlobProto(shape={"dim": [-1, -2]}, data=range(2)),
        proto.BlobProto(shape={"dim": [1 << 62, 4]}),
        proto.BlobProto(num=2, data=[1, 2]),
        proto.BlobProto(data=[1, 2]),
        proto.BlobProto(shape={"dim": [2]}, data=[1, 2], diff=[1]),
    ],
)
def test_numbers_that_do_not_fill_the_shape_are_refused(blob) -> None:
    with pytest.raises(SnapshotError, match="numbers for the shape"):
        blob_to_array(blob)


def test_five_million_numbers_come_back() -> None:
    array = np.arange(5_000_000, dtype=np.float32).reshape(5000, 1000)
    np.testing.assert_array_equal(blob_to_array(array_to_blob(array)), array)


@given(st.integers(0, (1 << 64) - 1))
def test_varints_come_back(value: int) -> None:
    assert read_varint(memoryview(varint(value)), 0) == (value, len(varint(value)))


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_numbers_are_written_as_protobuf_does(value: int) -> None:
    assert number_field(1, value) == proto.SolverState(iter=value).SerializeToString()


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        last = max((end for *_, end in fields(memoryview(data))), default=0)
    except WireError:
        return
    assert last == len(data)
