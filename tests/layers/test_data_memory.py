"""MemoryData: arrays that a script hands over, through the layer and through `Net.set_input_arrays`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.errors import DataError, LayerError, UsageError

from ..conftest import find_golden
from ..data.by_hand import batch, layer_from

TEXT = 'name: "m" type: "MemoryData" top: "data" top: "label" memory_data_param {{ {} }}'
SIZES = "batch_size: 3 channels: 2 height: 4 width: 5"


def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(1).random((count, 2, 4, 5), np.float32), np.arange(count, dtype=np.float32)


def test_recorded_case() -> None:
    prototxt = find_golden("layers/MemoryData/two_batches.prototxt")
    net = caffelite.Net(prototxt, caffelite.TEST)
    with np.load(prototxt.with_suffix(".npz")) as recorded:
        net.set_input_arrays(recorded["mem/data"], recorded["mem/label"])
        for step in range(3):
            net.forward()
            for blob in ("data", "label"):
                out = f"out/{blob}" if not step else f"out@{step}/{blob}"
                np.testing.assert_array_equal(net.blobs[blob].data, recorded[out])


def test_batches_go_round_and_new_arrays_begin_anew() -> None:
    layer, (data, labels) = layer_from(TEXT.format(SIZES)), arrays(9)
    layer.set_arrays(data, labels[:, None, None, None])
    for start in (0, 3, 6, 0, 3):
        images, numbers = batch(layer)
        np.testing.assert_array_equal(images, data[start : start + 3])
        assert [images.shape, numbers.shape] == [(3, 2, 4, 5), (3, 1, 1, 1)]
        assert layer.shapes([]) == [(3, 2, 4, 5), (3,)]  # as the original: `Forward_cpu` reshapes the labels
        assert numbers.ravel().tolist() == [start, start + 1, start + 2]
    layer.set_arrays(data[3:], labels[3:])
    assert batch(layer)[1].ravel().tolist() == [3, 4, 5]


def test_what_is_written_to_the_arrays_is_seen_and_what_the_net_writes_is_not() -> None:
    layer, (data, labels) = layer_from(TEXT.format(SIZES)), arrays(3)
    layer.set_arrays(data, labels)
    data[1] = 7
    images, _ = batch(layer)
    assert (images[1] == 7).all()
    images[...] = -1
    np.testing.assert_array_equal(batch(layer)[0], data)


GOOD = arrays(6)


@pytest.mark.parametrize(
    ("data", "labels", "said"),
    [
        (GOOD[0].astype(float), GOOD[1], "data must be float32, got float64"),
        (GOOD[0], GOOD[1].astype(int), "labels must be float32, got int64"),
        (GOOD[0][:, ::-1], GOOD[1], "data must be C-contiguous"),
        (GOOD[0][:, :1].copy(), GOOD[1], r"data must be of shape M×2×4×5, got \(6, 1, 4, 5\)"),
        (GOOD[0].reshape(6, -1), GOOD[1], r"data must be of shape M×2×4×5, got \(6, 40\)"),
        (GOOD[0], GOOD[1].reshape(6, 1), r"labels must be of shape M×1×1×1, got \(6, 1\)"),
        (GOOD[0], GOOD[1][:3], "data and labels must be equally many, got 6 and 3"),
        (GOOD[0][:5], GOOD[1][:5], r"must be a multiple of batch_size \(3\), got 5"),
        (GOOD[0][:0], GOOD[1][:0], r"must be a multiple of batch_size \(3\), got 0"),
        (GOOD[0].tolist(), GOOD[1], "data must be a NumPy array, got list"),
        (np.float32(1), np.float32(1), "data must be a NumPy array"),
        (np.array(1, np.float32), GOOD[1], r"data must be of shape M×2×4×5, got \(\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_change_nothing(data: object, labels: object, said: str) -> None:
    layer = layer_from(TEXT.format(SIZES))
    layer.set_arrays(*GOOD)
    batch(layer)
    with pytest.raises(LayerError, match=said):
        layer.set_arrays(data, labels)
    assert batch(layer)[1].ravel().tolist() == [3, 4, 5]


def test_all_faults_of_the_arrays_are_told_at_once() -> None:
    with pytest.raises(LayerError) as caught:
        layer_from(TEXT.format(SIZES)).set_arrays(GOOD[0].astype(float)[:, :, ::2], GOOD[1].astype(int))
    assert len(caught.value.faults) == 4


def test_a_layer_without_arrays_says_how_to_give_them() -> None:
    with pytest.raises(DataError, match=r'layer "m" \(MemoryData\): has no data yet') as caught:
        batch(layer_from(TEXT.format(SIZES)))
    assert "set_input_arrays" in str(caught.value)


def test_sizes_must_be_positive_and_transformations_are_warned_of() -> None:
    with pytest.raises(LayerError) as caught:
        layer_from(TEXT.format("batch_size: 3 height: 2"))
    assert [fault.message for fault in caught.value.faults] == [
        "channels must be positive, got 0",
        "width must be positive, got 0",
    ]
    (fault,) = layer_from(TEXT.format(SIZES) + " transform_param { scale: 2 }").warnings()
    assert fault.message == "transform_param has no effect: arrays are taken as they are"


def test_a_net_that_begins_otherwise_has_no_input_arrays(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 } } }')
    with pytest.raises(UsageError, match="'in' is Input"):
        caffelite.Net(path, caffelite.TEST).set_input_arrays(*GOOD)
