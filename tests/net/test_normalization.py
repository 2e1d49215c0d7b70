"""BatchNorm and the Scale behind it as one kernel: what both plans give, and where they stay two."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.net import Net
from caffelite.proto import TEST, TRAIN

from ..nets import net_of

IMAGES = """
layer { name: "in" type: "Input" top: "x" top: "target"
  input_param { shape { dim: 5 dim: 3 dim: 4 dim: 6 } shape { dim: 5 dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
"""
VECTORS = """
layer { name: "in" type: "Input" top: "x" top: "target"
  input_param { shape { dim: 7 dim: 6 } shape { dim: 7 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "c"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""
END = """
layer { name: "relu" type: "ReLU" bottom: "s" top: "s" }
layer { name: "out" type: "InnerProduct" bottom: "s" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "target" top: "loss" }
"""
FILLED = 'filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "uniform" min: -1 max: 1 }'
BATCH = 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "b" }'
SCALE = f'layer {{ name: "scale" type: "Scale" bottom: "b" top: "s" scale_param {{ bias_term: true {FILLED} }} }}'
NETS = {
    "two blobs": BATCH + SCALE,
    "in place": 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "s" }' + SCALE.replace('"b"', '"s"'),
    "without an offset": BATCH + SCALE.replace("bias_term: true", ""),
    "a factor that does not learn": BATCH + SCALE.replace("scale_param", "param { lr_mult: 0 } scale_param"),
    "an offset that does not learn": BATCH
    + SCALE.replace("scale_param", "param { lr_mult: 1 } param { lr_mult: 0 } scale_param"),
    "statistics that stay": BATCH.replace(" }", " batch_norm_param { use_global_stats: true } }") + SCALE,
    "parts of a batch": BATCH.replace(" }", " batch_norm_param { stats_batch_size: 1 } }") + SCALE,
}
JOINED = {*NETS, "two factors"} - {"parts of a batch"}
PEEK = 'layer { name: "peek" type: "Reduction" bottom: "b" top: "sum" loss_weight: 0.1 }'
ALONE = {
    "no factor": BATCH.replace('"b"', '"s"'),
    "a factor alone": SCALE.replace('"b"', '"c"'),
    "another reader": BATCH + SCALE + PEEK,
    "a factor for every value": BATCH + SCALE.replace("bias_term", "num_axes: -1 bias_term"),
    "one factor": BATCH + SCALE.replace("bias_term: true", "num_axes: 0").replace(FILLED, "filler { value: 2 }"),
    "two factors": BATCH + SCALE.replace('"s"', '"t"') + SCALE.replace('"b"', '"t"').replace('"scale"', '"again"'),
}


def filled(net: Net, seed: int) -> None:
    chance = np.random.default_rng(seed)
    for blob in ("x", "target"):
        net.blobs[blob].data[...] = chance.normal(1, 2, net.blobs[blob].shape)


@pytest.mark.parametrize("phase", [TRAIN, TEST], ids=["train", "test"])
@pytest.mark.parametrize("front", [IMAGES, VECTORS], ids=["images", "vectors"])
@pytest.mark.parametrize("name", [*NETS, *ALONE])
def test_both_plans_agree(name: str, front: str, phase: int) -> None:
    if front == VECTORS and name == "parts of a batch":
        front = front.replace("dim: 7", "dim: 6")
    text = front + {**NETS, **ALONE}[name] + END
    if name == "parts of a batch":
        text = text.replace("stats_batch_size: 1", f"stats_batch_size: {5 if front == IMAGES else 3}")
    fast, seen = (net_of(text, phase, seed=2, observed=observed) for observed in (False, True))
    for seed in range(5):
        losses = []
        for net in (fast, seen):
            filled(net, seed)
            net.clear_gradients()
            losses.append(float(net.forward_backward()))
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for mine, other in zip(fast.parameters, seen.parameters, strict=True):
        np.testing.assert_allclose(mine.data, other.data, rtol=1e-5, atol=1e-6, err_msg=mine.name)
        np.testing.assert_allclose(mine.diff, other.diff, rtol=1e-3, atol=1e-4, err_msg=mine.name)
        assert mine.layer == "bn" or mine.diff.any() == (mine.lr_mult != 0)
    told = fast.fast_plan.told()
    ways = [told.get(node.index, "") for node in fast.graph.nodes if node.type == "BatchNorm"]
    alike = {("a factor for every value", VECTORS), ("parts of a batch", TEST)}
    joined = name in JOINED or not alike.isdisjoint({(name, front), (name, phase)})
    assert any("with scale" in way for way in ways) == joined
