from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.data.datum import Decoder
from caffelite.errors import DataError
from caffelite.proto import Datum

from .databases import datum

LABELS = st.lists(
    st.one_of(st.none(), st.sampled_from([0, 9, 127, 128, 16383, 16384, 2**21, 2**28, -1]), st.integers(-9, 999)),
    min_size=1,
    max_size=12,
)


def key(index: int) -> str:
    return f"key{index}"


@given(LABELS, st.booleans(), st.randoms(use_true_random=False))
def test_images_and_labels_are_those_that_protobuf_reads(labels: list[int | None], says: bool, chance) -> None:  # type: ignore[no-untyped-def]
    images = np.frombuffer(chance.randbytes(len(labels) * 2 * 3 * 5), np.uint8).reshape(-1, 2, 3, 5)
    values = [datum(image, label) for image, label in zip(images, labels, strict=True)]
    if says:
        values = [Datum.FromString(value + b"\x38\x00").SerializeToString() for value in values]
        assert values[0].endswith(b"\x38\x00")
    records = Decoder()(values, key)
    np.testing.assert_array_equal(records.images, images)
    np.testing.assert_array_equal(records.labels, [np.float32(Datum.FromString(value).label) for value in values])


def test_fields_in_an_unusual_order_are_read() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    label_first = Datum(label=7).SerializeToString() + datum(image)
    records = Decoder()([label_first, datum(image, 8)], key)
    np.testing.assert_array_equal(records.images, [image, image])
    np.testing.assert_array_equal(records.labels, [7, 8])


def test_a_later_record_of_another_form_is_read_all_the_same() -> None:
    plain, floats = np.full((1, 2, 2), 3, np.uint8), np.full((1, 2, 2), 0.25, np.float32)
    decoder = Decoder()
    decoder([datum(plain, 1)], key)
    records = decoder([datum(plain, 1), datum(floats, 2)], key)
    np.testing.assert_array_equal(records.images, [plain, floats])


def test_images_of_different_sizes_come_as_a_list() -> None:
    images = [np.zeros((1, 2, 3), np.uint8), np.ones((1, 3, 2), np.uint8)]
    records = Decoder()([datum(image, 0) for image in images], key)
    assert isinstance(records.images, list)
    for got, wanted in zip(records.images, images, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\xff\xff\xff", "is not a Datum"),
        (Datum(channels=1, height=2, width=2, data=b"abc").SerializeToString(), "1×2×2 needs 4 bytes of data, got 3"),
        (Datum(channels=1, height=2, width=2).SerializeToString(), "needs 4 values of float_data, got 0"),
        (Datum(channels=0, height=2, width=2, data=b"abcd").SerializeToString(), "must be positive, got 0, 2, 2"),
        (Datum(channels=-1, height=-2, width=2, data=b"abcd").SerializeToString(), "must be positive, got -1, -2, 2"),
        (
            Datum(channels=2**31 - 1, height=2**31 - 1, width=4, data=b"abcd").SerializeToString(),
            "needs 18446744056529",
        ),
        (Datum(data=b"no image", encoded=True).SerializeToString(), "in no format that can be decoded"),
    ],
)
def test_a_damaged_record_is_named_by_its_key(value: bytes, said: str) -> None:
    with pytest.raises(DataError, match=f'record "key1".*{said}'):
        Decoder()([datum(np.zeros((1, 2, 2), np.uint8), 0), value], key)
    with pytest.raises(DataError, match=f'record "key0".*{said}'):
        Decoder()([value], key)
