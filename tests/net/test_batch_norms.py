"""BatchNorm as NVIDIA's fork stores it, loaded into nets that have it in two layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffelite import proto
from caffelite.assembly import load_net
from caffelite.errors import SnapshotError
from caffelite.snapshot import LayerParts, NetParts, write_weights

MEAN, VARIANCE, SCALE, BIAS = ([1.0, 2.0], [4.0, 9.0], [10.0, 20.0], [0.5, -0.5])
X = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


def net(scale: str) -> str:
    return f"""
    layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 2 dim: 3 }} }} }}
    layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param {{ eps: 0 }} }}
    {scale}
    """


def stored(path: Path, blobs: list, shape: tuple[int, ...] = (2,)) -> str:
    """A weight file of NVIDIA's fork; the number is written as 7, to see that it is not used."""
    arrays = [np.array(blob, np.float32).reshape(shape if len(blob) == 2 else (1,) * len(shape)) for blob in blobs]
    write_weights(path, NetParts("n", [LayerParts(proto.LayerParameter(name="bn", type="BatchNorm"), arrays)]))
    return str(path)


WITH_SCALE = net('layer { name: "s" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }')


@pytest.mark.parametrize(
    ("blobs", "shape"),
    [([MEAN, VARIANCE, [7], SCALE, BIAS], (2,)), ([SCALE, BIAS, MEAN, VARIANCE, [7]], (1, 2, 1, 1))],
    ids=["today's order", "the order of DIGITS"],
)
def test_five_blobs_go_into_two_layers(tmp_path: Path, blobs: list, shape: tuple[int, ...]) -> None:
    """y = (x - mean) / sqrt(variance) * scale + bias, for each channel (batch_norm_layer.cpp of NVIDIA/caffe)."""
    (tmp_path / "net.prototxt").write_text(WITH_SCALE)
    made = load_net(str(tmp_path / "net.prototxt"), observed=True)
    report = made.load_weights(stored(tmp_path / "w", blobs, shape))
    assert [(row.layer, row.status) for row in report] == [("bn", "loaded"), ("s", "loaded")]
    made.blobs["x"].data[...] = X
    made.forward()
    of = [np.array(values, np.float32).reshape(1, 2, 1) for values in (MEAN, VARIANCE, SCALE, BIAS)]
    np.testing.assert_allclose(made.blobs["y"].data, (X - of[0]) / np.sqrt(of[1]) * of[2] + of[3], rtol=1e-6)


def test_scale_and_bias_need_a_layer_that_takes_them(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(net('layer { name: "s" type: "Scale" bottom: "x" top: "z" }'))
    made = load_net(str(tmp_path / "net.prototxt"))
    with pytest.raises(SnapshotError, match="no Scale layer behind it takes these"):
        made.load_weights(stored(tmp_path / "w", [MEAN, VARIANCE, [7], SCALE, BIAS]))
