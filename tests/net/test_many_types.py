"""A net of many layer types, in both memory orders: both plans agree, pass after pass, and shapes may change."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.net import Net

from ..nets import net_of

IMAGES = """
layer { name: "in" type: "Input" top: "x" top: "word" top: "order" top: "label"
  input_param { shape { dim: 4 dim: 3 dim: 6 dim: 5 } shape { dim: 4 dim: 2 } shape { dim: 4 } shape { dim: 4 } } }
layer { name: "size" type: "Input" top: "small" input_param { shape { dim: 1 dim: 1 dim: 5 dim: 4 } } }
"""
CONVOLUTION = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
"""
SCALE = """
layer { name: "tile" type: "Tile" bottom: "x" top: "t" tile_param { tiles: 2 } }
layer { name: "scale" type: "Scale" bottom: "t" top: "c" scale_param { filler { type: "gaussian" std: 1 } } }
"""
BEHIND = """
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" batch_norm_param { moving_average_fraction: 0.5 } }
layer { name: "prelu" type: "PReLU" bottom: "c" top: "c" }
layer { name: "cut" type: "Slice" bottom: "c" top: "c1" top: "c2" top: "c3"
  slice_param { slice_point: 1 slice_point: 4 } }
layer { name: "elu" type: "ELU" bottom: "c1" top: "e1" elu_param { alpha: 0.5 } }
layer { name: "shift" type: "Power" bottom: "e1" top: "e1" power_param { scale: 0.5 shift: 0.1 } }
layer { name: "swish" type: "Swish" bottom: "c2" top: "c2" swish_param { beta: 2 } }
layer { name: "exp" type: "Exp" bottom: "c3" top: "e3" exp_param { base: 2 scale: 0.3 shift: -1 } }
layer { name: "log" type: "Log" bottom: "e3" top: "e3" log_param { scale: 0.5 shift: 2 } }
layer { name: "join" type: "Concat" bottom: "e1" bottom: "c2" bottom: "e3" top: "j" }
layer { name: "clip" type: "Clip" bottom: "j" top: "k" clip_param { min: -2 max: 1.5 } }
layer { name: "crop" type: "Crop" bottom: "k" bottom: "small" top: "cropped" crop_param { offset: 1 } }
layer { name: "mvn" type: "MVN" bottom: "cropped" top: "m" mvn_param { eps: 0.01 } }
layer { name: "reindex" type: "BatchReindex" bottom: "m" bottom: "order" top: "r" }
layer { name: "rows" type: "Reshape" bottom: "r" top: "rows" reshape_param { shape { dim: 0 dim: -1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "rows" top: "f"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "embed" type: "Embed" bottom: "word" top: "w"
  embed_param { input_dim: 7 num_output: 5 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "first" type: "Slice" bottom: "w" top: "w1" top: "w2" slice_param { axis: 1 } }
layer { name: "flat1" type: "Reshape" bottom: "w1" top: "v1" reshape_param { shape { dim: 0 dim: -1 } } }
layer { name: "flat2" type: "Reshape" bottom: "w2" top: "v2" reshape_param { shape { dim: -1 } axis: 1 } }
layer { name: "param" type: "Parameter" top: "p" parameter_param { shape { dim: 5 } } }
layer { name: "add" type: "Bias" bottom: "v1" bottom: "p" top: "b" bias_param { axis: 1 } }
layer { name: "near" type: "ContrastiveLoss" bottom: "b" bottom: "f" bottom: "label" top: "near"
  contrastive_loss_param { margin: 3 } }
layer { name: "prob" type: "Softmax" bottom: "v2" top: "prob" }
layer { name: "class" type: "MultinomialLogisticLoss" bottom: "prob" bottom: "label" top: "class" }
layer { name: "high" type: "Threshold" bottom: "f" top: "high" threshold_param { threshold: 0.2 } }
"""


def fill(net: Net, batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {
        "x": rng.normal(size=(batch, 3, 6, 5)),
        "word": rng.integers(0, 7, (batch, 2)),
        "order": rng.integers(0, batch, batch),
        "label": rng.integers(0, 2, batch),
    }
    for blob, array in values.items():
        net.blobs[blob].reshape(*array.shape)
        net.blobs[blob].data[...] = array


@pytest.mark.parametrize("front", [CONVOLUTION, SCALE], ids=["channels_last", "contiguous"])
def test_both_plans_agree(front: str) -> None:
    fast, seen = (net_of(IMAGES + front + BEHIND, seed=3, observed=observed) for observed in (False, True))
    assert fast.channels_last == (front == CONVOLUTION)
    for seed, batch in enumerate((4, 4, 7, 1, 4)):
        losses = []
        for net in (fast, seen):
            fill(net, batch, seed)
            net.clear_gradients()
            losses.append(float(net.forward_backward()))
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
        assert losses[0] > 0
        for one, other in zip(fast.parameters, seen.parameters, strict=True):
            np.testing.assert_allclose(one.data, other.data, rtol=1e-5, atol=1e-6, err_msg=one.name)
            np.testing.assert_allclose(one.diff, other.diff, rtol=1e-4, atol=1e-5, err_msg=one.name)
        assert all(parameter.diff.any() for parameter in fast.parameters if parameter.layer != "bn")
        np.testing.assert_array_equal(fast.blobs["high"].data, seen.blobs["high"].data)
