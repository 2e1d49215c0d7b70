"""BN in its three meanings, against plain loops over channels written from the forks' bn_layer.cpp, and its gradients
against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError, SnapshotError
from caffelite.layerkit import Layer
from caffelite.net import Net
from caffelite.net.weights import load
from caffelite.proto import TEST, TRAIN

from ..nets import net_of
from .alone import build, run_at

Shape = tuple[int, ...]
SHAPES: list[Shape] = [(4, 3, 2, 5), (5, 3), (2, 3, 4), (1, 3, 2, 2)]


def bn(fork: str, settings: str = "", shape: Shape = (4, 3, 2, 5), phase: int = TRAIN, tops: str = 'top: "y"') -> Layer:
    text = f'name: "bn" type: "BN" dialect: "{fork}" bottom: "x" {tops} bn_param {{ {settings} }}'
    layer, declared = build(text, shape, phase=phase)
    assert declared[0] == shape
    return layer


def values(shape: Shape, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(2, 3, shape)


def weights(collected: bool) -> list[torch.Tensor]:
    """Factor, offset, mean and variance of three channels, 1×3×1×1."""
    rows = [[1.5, -2, 0.5], [0.1, 3, -1], [1, 2, -1], [4, 0.25, 9]][: 4 if collected else 2]
    return [torch.tensor(row, dtype=torch.double).reshape(1, 3, 1, 1) for row in rows]


def forward(layer: Layer, x: np.ndarray, given: list[torch.Tensor]) -> list[np.ndarray]:
    return [top.detach().numpy() for top in layer.forward(run_at(), [torch.from_numpy(x)], given)]


def by_loops(x: np.ndarray, given: list[torch.Tensor], eps: float, batch: bool) -> tuple[np.ndarray, Any, Any]:
    """The top, and mean and variance of each channel."""
    y, found = np.empty_like(x), []
    rows = [weight.flatten().tolist() for weight in given]
    for c in range(3):
        channel = x[:, c]
        mean = channel.sum() / channel.size
        variance = ((channel - mean) ** 2).sum() / channel.size
        found.append((mean, variance))
        if not batch:
            mean, variance = rows[2][c], rows[3][c]
        y[:, c] = rows[0][c] * (channel - mean) * (variance + eps) ** -0.5 + rows[1][c]
    means, variances = zip(*found, strict=True)
    return y, np.array(means), np.array(variances)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("fork", "settings", "stays", "eps"),
    [
        ("PSPNet", "", 0.9, 1e-5),
        ("PSPNet", "momentum: 0.75 eps: 0.01", 0.75, 0.01),
        ("ChenglongChen", "", 0.95, 1e-10),
        ("ChenglongChen", "moving_average: true decay: 0.5 var_eps: 0.1", 0.5, 0.1),
    ],
)
def test_training_uses_the_batch_and_collects_it(
    fork: str, settings: str, stays: float, eps: float, shape: Shape
) -> None:
    x, given = values(shape), weights(collected=True)
    (y,) = forward(bn(fork, settings, shape), x, given)
    want, mean, variance = by_loops(x, weights(collected=True), eps, batch=True)
    np.testing.assert_allclose(y, want, rtol=1e-6, atol=1e-6)
    for slot, new in ((2, mean), (3, variance)):
        before = weights(collected=True)[slot].flatten().numpy()
        np.testing.assert_allclose(given[slot].flatten(), stays * before + (1 - stays) * new, rtol=1e-6)
    for slot in (0, 1):
        assert torch.equal(given[slot], weights(collected=True)[slot])


@pytest.mark.parametrize(
    ("fork", "settings", "phase", "batch", "eps"),
    [
        ("PSPNet", "", TEST, False, 1e-5),
        ("PSPNet", "frozen: true", TRAIN, False, 1e-5),
        ("PSPNet", "frozen: true eps: 0.5", TEST, False, 0.5),
        ("ChenglongChen", "", TEST, True, 1e-10),
        ("ChenglongChen", "moving_average: true", TEST, False, 1e-10),
    ],
)
def test_elsewhere_nothing_is_collected(fork: str, settings: str, phase: int, batch: bool, eps: float) -> None:
    x, given = values((4, 3, 2, 5)), weights(collected=True)
    (y,) = forward(bn(fork, settings, phase=phase), x, given)
    np.testing.assert_allclose(y, by_loops(x, given, eps, batch)[0], rtol=1e-6, atol=1e-6)
    assert all(torch.equal(one, other) for one, other in zip(given, weights(collected=True), strict=True))


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("shape", SHAPES)
def test_segnet_uses_the_batch_in_either_phase(shape: Shape, phase: int) -> None:
    x, given = values(shape), weights(collected=False)
    tops = 'top: "y" top: "mean" top: "variance"'
    y, mean, variance = forward(bn("SegNet", "", shape, phase, tops), x, given)
    want, means, variances = by_loops(x, given, 1e-9, batch=True)
    np.testing.assert_allclose(y, want, rtol=1e-6, atol=1e-6)
    assert mean.shape == variance.shape == (1, 3, 1, 1)
    np.testing.assert_allclose(mean.ravel(), means)
    np.testing.assert_allclose(variance.ravel(), variances)


@pytest.mark.parametrize("shape", SHAPES)
def test_segnet_in_inference_multiplies_and_adds(shape: Shape) -> None:
    x, given = values(shape), weights(collected=False)
    (y,) = forward(bn("SegNet", "bn_mode: INFERENCE", shape), x, given)
    scale, shift = (weight.numpy().reshape(1, 3, *[1] * (len(shape) - 2)) for weight in given)
    np.testing.assert_allclose(y, x * scale + shift)


def gradient_by_formula(x: np.ndarray, dy: np.ndarray, scale: list[float], eps: float) -> np.ndarray:
    """What Backward_cpu computes: (g − mean(g) − x̂·mean(x̂·g)) / √(variance + eps) for g = scale·dy, by channel."""
    dx = np.empty_like(x)
    for c in range(3):
        deviation = np.sqrt(x[:, c].var() + eps)
        normal, g = (x[:, c] - x[:, c].mean()) / deviation, scale[c] * dy[:, c]
        dx[:, c] = (g - g.mean() - normal * (normal * g).mean()) / deviation
    return dx


@pytest.mark.parametrize("fork", ["PSPNet", "ChenglongChen", "SegNet"])
def test_the_gradient_is_the_forks(fork: str) -> None:
    x, dy = values((4, 3, 2, 5)), values((4, 3, 2, 5), seed=2)
    bottom = torch.from_numpy(x).requires_grad_()
    given = weights(collected=fork != "SegNet")
    for weight in given[:2]:
        weight.requires_grad_()
    (y, *_) = bn(fork).forward(run_at(), [bottom], given)
    dx, dfactor, doffset = torch.autograd.grad(y, [bottom, *given[:2]], torch.from_numpy(dy))
    eps = {"PSPNet": 1e-5, "ChenglongChen": 1e-10, "SegNet": 1e-9}[fork]
    np.testing.assert_allclose(dx, gradient_by_formula(x, dy, [1.5, -2, 0.5], eps), rtol=1e-6, atol=1e-9)
    normal = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + eps)
    np.testing.assert_allclose(dfactor.flatten(), (normal * dy).sum((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(doffset.flatten(), dy.sum((0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize(
    ("fork", "settings", "phase"),
    [
        ("PSPNet", "", TRAIN),
        ("PSPNet", "frozen: true", TRAIN),
        ("ChenglongChen", "moving_average: true", TEST),
        ("SegNet", "", TEST),
        ("SegNet", "bn_mode: INFERENCE", TRAIN),
    ],
)
def test_gradients(fork: str, settings: str, phase: int) -> None:
    layer, given = bn(fork, settings, phase=phase), weights(collected=fork != "SegNet")
    inputs = [torch.from_numpy(values((4, 3, 2, 5))), *given[:2]]

    def y(x: torch.Tensor, factor: torch.Tensor, offset: torch.Tensor) -> Any:
        return layer.forward(run_at(), [x], [factor, offset, *[weight.clone() for weight in given[2:]]])[0]

    assert torch.autograd.gradcheck(y, [tensor.requires_grad_() for tensor in inputs])


@pytest.mark.parametrize(
    "param", ["bn_param { engine: DEFAULT }", "bn_param { engine: CAFFE }", "bn_param { engine: CUDNN }"]
)
def test_the_implementation_makes_no_difference(param: str) -> None:
    shape, given = (4, 3, 2, 5), weights(collected=True)
    layer, _ = build(f'name: "bn" type: "BN" dialect: "PSPNet" bottom: "x" top: "y" {param}', shape, phase=TRAIN)
    (y,) = forward(layer, values(shape), given)
    np.testing.assert_array_equal(y, forward(bn("PSPNet"), values(shape), weights(collected=True))[0])
    assert not layer.warnings()


# -- in a net -----------------------------------------------------------------------------------------------------

NET = """
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 4 dim: 3 dim: 2 dim: 5 }} }} }}
layer {{ name: "bn" type: "BN" bottom: "x" top: "y" {more} }}
layer {{ name: "sum" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 reduction_param {{ operation: SUMSQ }} }}
"""


def net_with(more: str, phase: int = TRAIN, **options: Any) -> Net:
    fork = "PSPNet" if "slope" in more else "ChenglongChen" if "moving" in more else "SegNet"
    return net_of(NET.format(more=f'{more} dialect: "{fork}"'), phase, observed=True, **options)


def test_psp_weights_begin_as_the_fillers_say_and_statistics_as_zeros() -> None:
    net = net_with("bn_param { slope_filler { value: 1 } bias_filler { value: 0.5 } }")
    assert [row.data.shape for row in net.params["bn"]] == [(1, 3, 1, 1)] * 4
    assert [set(row.data.ravel().tolist()) for row in net.params["bn"]] == [{1.0}, {0.5}, {0.0}, {0.0}]
    assert [parameter.lr_mult for parameter in net.parameters] == [1, 1, 0, 0]


def test_frozen_weights_are_not_learned_and_the_variance_begins_as_1() -> None:
    net = net_with("param { lr_mult: 2 } bn_param { slope_filler { value: 1 } frozen: true }")
    assert [set(row.data.ravel().tolist()) for row in net.params["bn"]] == [{1.0}, {0.0}, {0.0}, {1.0}]
    assert [parameter.lr_mult for parameter in net.parameters] == [0, 0, 0, 0]
    net.blobs["x"].data[...] = values((4, 3, 2, 5))
    net.forward_backward()
    assert not any(row.diff.any() for row in net.params["bn"])


def test_statistics_are_not_learned_whatever_the_file_says() -> None:
    more = "param { lr_mult: 1 } param { lr_mult: 2 } param { lr_mult: 1 } param { lr_mult: 1 decay_mult: 1 }"
    for settings in ("slope_filler { value: 1 }", "moving_average: true"):
        net = net_with(f"{more} bn_param {{ {settings} }}")
        assert [parameter.lr_mult for parameter in net.parameters] == [1, 2, 0, 0]
        assert [parameter.decay_mult for parameter in net.parameters] == [1, 1, 0, 0]


@pytest.mark.parametrize("settings", ["slope_filler { value: 1 }", "scale_filler { value: 1 } moving_average: true"])
def test_a_test_net_uses_what_the_train_net_collects(settings: str) -> None:
    net = net_with(f"bn_param {{ {settings} }}")
    other = net_with(f"bn_param {{ {settings} }}", TEST, share=net)
    net.blobs["x"].data[...] = values((4, 3, 2, 5))
    net.forward()
    x = values((4, 3, 2, 5), seed=5)
    other.blobs["x"].data[...] = x
    other.forward()
    rows = [torch.from_numpy(row.data.astype(np.float64)) for row in net.params["bn"]]
    eps = 1e-5 if "slope" in settings else 1e-10
    np.testing.assert_allclose(other.blobs["y"].data, by_loops(x, rows, eps, batch=False)[0], rtol=1e-4, atol=1e-5)


def test_weights_of_yjxiongs_fork_have_no_axes_behind_the_channels() -> None:
    net = net_with("bn_param { slope_filler { value: 1 } }", TEST)
    rows = [np.array([[1.0, 2, 3]], np.float32) * (slot + 1) for slot in range(4)]
    loaded = load([("bn", net.params["bn"])], [("bn", rows)], "tsn.caffemodel")
    assert [row.status for row in loaded] == ["loaded"]
    assert [row.data.ravel().tolist() for row in net.params["bn"]] == [row.ravel().tolist() for row in rows]


def test_weights_are_not_those_of_another_fork(tmp_path: Any) -> None:
    net = net_with("bn_param { scale_filler { value: 1 } }")
    net.save(str(tmp_path / "segnet.caffemodel"))
    with pytest.raises(SnapshotError, match="holds 2 blobs for this layer, the net has 4"):
        net_with("bn_param { slope_filler { value: 1 } }").load_weights(str(tmp_path / "segnet.caffemodel"))


@pytest.mark.parametrize(
    ("fork", "settings", "shape", "told"),
    [
        ("PSPNet", "momentum: 1.5", (2, 3), "momentum must be from 0 to 1, got 1.5"),
        ("PSPNet", "eps: -1", (2, 3), "eps must not be negative, got -1.0"),
        ("PSPNet", "moving_average: false", (2, 3), "moving_average has a meaning in early versions of the fork only"),
        ("ChenglongChen", "decay: -0.5", (2, 3), "decay must be from 0 to 1, got -0.5"),
        ("ChenglongChen", "var_eps: -1", (2, 3), "var_eps must not be negative, got -1.0"),
        ("SegNet", "", (3,), "needs a bottom of 2 to 4 axes (num, channels, height, width), got (3,)"),
        ("PSPNet", "", (1, 2, 3, 4, 5), "needs a bottom of 2 to 4 axes"),
        ("SegNet", "", (0, 3), "needs at least one value per channel, got (0, 3)"),
    ],
)
def test_faults(fork: str, settings: str, shape: Shape, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        bn(fork, settings, shape)
    assert told in str(raised.value)


def test_inference_has_no_mean_to_give_out() -> None:
    with pytest.raises(LayerError) as raised:
        bn("SegNet", "bn_mode: INFERENCE", tops='top: "y" top: "mean"')
    assert 'its second top, "mean", is the mean of a batch, and bn_mode: INFERENCE has none' in str(raised.value)


def test_other_channels_than_at_first() -> None:
    layer = bn("PSPNet")
    layer.shapes([(1, 4, 2, 2)])
    with pytest.raises(LayerError, match="has weights for 3 channels, and its bottom of shape"):
        layer.raise_faults()
