"""Convolution3D, Deconvolution3D, Pooling3D and VoxelSoftmaxLoss against plain loops over their formulas, in float64.

The arithmetic is that of facebook/C3D: `convolution3d_layer.cpp`, `deconvolution3d_layer.cpp`, `pool3d_layer.cpp` and
`voxel_wise_softmax_loss_layer.cpp`.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from caffelite.assembly import build_graph, read_net
from caffelite.errors import LayerError
from caffelite.graph import state_of
from caffelite.proto import TRAIN

from ..nets import net_of
from .alone import build, run_at

Shape = tuple[int, ...]
CHANCE = np.random.default_rng(7)


def _layer(kind: str, settings: str, *shapes: Shape) -> tuple:
    bottoms = " ".join(f'bottom: "{name}"' for name in "xz"[: len(shapes)])
    return build(f'name: "l" type: "{kind}" {bottoms} top: "y" {settings}', *shapes)


def _steps(size: Shape) -> itertools.product:
    return itertools.product(*map(range, size))


# -- filters ----------------------------------------------------------------------------------------------------------

SPELLINGS = ["convolution3d_param", "convolution_param"]
SETTINGS = [
    ("convolution3d_param { num_output: 4 kernel_size: 3 kernel_depth: 2 }", (2, 3, 3), (1, 1, 1), (0, 0, 0)),
    (
        "convolution3d_param { num_output: 4 kernel_size: 2 kernel_depth: 3 pad: 1 temporal_pad: 2 "
        "stride: 2 temporal_stride: 3 }",
        (3, 2, 2),
        (3, 2, 2),
        (2, 1, 1),
    ),
    (
        "convolution3d_param { num_output: 4 kernel_size: 1 kernel_depth: 1 stride: 2 filter_group: 2 }",
        (1, 1, 1),
        (1, 2, 2),
        (0, 0, 0),
    ),
]


@pytest.mark.parametrize("holder", SPELLINGS)
@pytest.mark.parametrize(("settings", "kernel", "stride", "pad"), SETTINGS)
def test_convolution_by_loops(holder: str, settings: str, kernel: Shape, stride: Shape, pad: Shape) -> None:
    shape, outputs = (2, 3, 4, 5, 6), 4
    layer, (top,) = _layer("Convolution3D", settings.replace("convolution3d_param", holder), shape)
    x, w, b = (CHANCE.standard_normal(s) for s in (shape, (outputs, 3, *kernel), (1, 1, 1, 1, outputs)))
    assert [spec.shape for spec in layer.weights] == [w.shape, b.shape]
    size = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip(shape[2:], pad, kernel, stride, strict=True))
    want = np.zeros((2, outputs, *size)) + b.reshape(1, outputs, 1, 1, 1)
    for n, o, c in itertools.product(range(2), range(outputs), range(3)):
        for to, at in itertools.product(_steps(size), _steps(kernel)):
            place = tuple(t * s - p + a for t, s, p, a in zip(to, stride, pad, at, strict=True))
            if all(0 <= one < most for one, most in zip(place, shape[2:], strict=True)):
                want[(n, o, *to)] += x[(n, c, *place)] * w[(o, c, *at)]
    (y,) = layer.forward(run_at(), [torch.from_numpy(x)], [torch.from_numpy(w), torch.from_numpy(b)])
    assert top == tuple(y.shape) == want.shape
    np.testing.assert_allclose(y, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("holder", SPELLINGS)
@pytest.mark.parametrize(("settings", "kernel", "stride", "pad"), SETTINGS)
def test_deconvolution_by_loops(holder: str, settings: str, kernel: Shape, stride: Shape, pad: Shape) -> None:
    shape, outputs = (2, 3, 3, 4, 2), 4
    layer, (top,) = _layer("Deconvolution3D", settings.replace("convolution3d_param", holder), shape)
    x, w, b = (CHANCE.standard_normal(s) for s in (shape, (3, outputs, *kernel), (1, 1, 1, 1, outputs)))
    assert [spec.shape for spec in layer.weights] == [w.shape, b.shape]
    size = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(shape[2:], stride, pad, kernel, strict=True))
    want = np.zeros((2, outputs, *size)) + b.reshape(1, outputs, 1, 1, 1)
    for n, o, c in itertools.product(range(2), range(outputs), range(3)):
        for of, at in itertools.product(_steps(shape[2:]), _steps(kernel)):
            place = tuple(f * s - p + a for f, s, p, a in zip(of, stride, pad, at, strict=True))
            if all(0 <= one < most for one, most in zip(place, size, strict=True)):
                want[(n, o, *place)] += x[(n, c, *of)] * w[(c, o, *at)]
    (y,) = layer.forward(run_at(), [torch.from_numpy(x)], [torch.from_numpy(w), torch.from_numpy(b)])
    assert top == tuple(y.shape) == want.shape
    np.testing.assert_allclose(y, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", ["Convolution3D", "Deconvolution3D"])
def test_gradients_of_filters(kind: str) -> None:
    settings = "convolution3d_param { num_output: 2 kernel_size: 2 kernel_depth: 3 pad: 1 temporal_pad: 1 stride: 2 }"
    layer, _ = _layer(kind, settings, (1, 2, 3, 4, 3))
    tensors = [torch.from_numpy(CHANCE.standard_normal((1, 2, 3, 4, 3)))]
    tensors += [torch.from_numpy(CHANCE.standard_normal(spec.shape)) for spec in layer.weights]
    for tensor in tensors:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *weights: layer.forward(run_at(), [x], weights), tensors)


def test_without_a_bias_there_is_one_weight() -> None:
    settings = "convolution3d_param { num_output: 2 kernel_size: 1 kernel_depth: 1 bias_term: false }"
    layer, _ = _layer("Convolution3D", settings, (1, 2, 3, 3, 3))
    assert [spec.shape for spec in layer.weights] == [(2, 2, 1, 1, 1)]


def test_filters_and_offsets_begin_as_their_fillers_say() -> None:
    settings = "convolution3d_param { num_output: 2 kernel_size: 1 kernel_depth: 1 "
    settings += "weight_filler { value: 3 } bias_filler { value: 5 } }"
    whole = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 1 dim: 1 dim: 1 } } } '
    net = net_of(f'{whole} layer {{ name: "l" type: "Convolution3D" bottom: "x" top: "y" {settings} }}')
    assert [set(blob.data.ravel().tolist()) for blob in net.params["l"]] == [{3.0}, {5.0}]


def test_filters_see_all_channels_whatever_group_says() -> None:
    """Convolution3DLayer reads no group."""
    settings = "convolution3d_param { num_output: 2 kernel_size: 1 kernel_depth: 1 group: 2 }"
    layer, _ = _layer("Convolution3D", settings, (1, 2, 3, 3, 3))
    assert layer.weights[0].shape == (2, 2, 1, 1, 1)
    (warning,) = layer.warnings()
    assert warning.message == "group has no effect: filters over clips see all channels, side by side"


# -- pooling ----------------------------------------------------------------------------------------------------------

POOLS = [
    ("pooling3d_param { pool: MAX kernel_size: 2 kernel_depth: 1 stride: 2 }", (1, 2, 2), (1, 2, 2), 0),
    (
        "pooling3d_param { pool: MAX kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 }",
        (2, 2, 2),
        (2, 2, 2),
        0,
    ),
    ("pooling3d_param { pool: MAX kernel_size: 3 kernel_depth: 2 }", (2, 3, 3), (1, 1, 1), 0),
    (
        "pooling3d_param { pool: MAX kernel_size: 2 kernel_depth: 2 stride: 3 temporal_stride: 3 }",
        (2, 2, 2),
        (3, 3, 3),
        0,
    ),
    (
        "pooling3d_param { pool: MAX kernel_size: 3 kernel_depth: 3 stride: 2 temporal_stride: 2 }",
        (3, 3, 3),
        (2, 2, 2),
        0,
    ),
    ("pooling3d_param { pool: AVE kernel_size: 2 kernel_depth: 1 stride: 2 }", (1, 2, 2), (1, 2, 2), 0),
    (
        "pooling3d_param { pool: AVE kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 }",
        (2, 2, 2),
        (2, 2, 2),
        0,
    ),
    ("pooling3d_param { pool: AVE kernel_size: 3 kernel_depth: 2 }", (2, 3, 3), (1, 1, 1), 0),
    (
        "pooling3d_param { pool: AVE kernel_size: 2 kernel_depth: 2 stride: 3 temporal_stride: 3 }",
        (2, 2, 2),
        (3, 3, 3),
        0,
    ),
    (
        "pooling3d_param { pool: AVE kernel_size: 3 kernel_depth: 3 stride: 2 temporal_stride: 2 }",
        (3, 3, 3),
        (2, 2, 2),
        0,
    ),
    (
        "pooling3d_param { pool: AVE kernel_size: 3 kernel_depth: 3 pad: 2 stride: 2 temporal_stride: 2 }",
        (3, 3, 3),
        (2, 2, 2),
        2,
    ),
]


def _pooled(x: np.ndarray, dy: np.ndarray | None, kernel: Shape, stride: Shape, pad: int, method: str) -> tuple:
    """The pooled clip and, for the gradient dy of it, that of x."""
    pads = (0, pad, pad)
    moves = list(zip(x.shape[2:], pads, kernel, stride, strict=True))
    size = tuple(math.ceil((n + 2 * p - k) / s) + 1 for n, p, k, s in moves)
    y, dx = np.zeros((*x.shape[:2], *size)), np.zeros_like(x)
    for n, c in itertools.product(*map(range, x.shape[:2])):
        for to in _steps(size):
            first = [t * s - p for t, (_, p, _, s) in zip(to, moves, strict=True)]
            end = [min(f + k, m + p) for f, (m, p, k, _) in zip(first, moves, strict=True)]
            positions = math.prod(e - f for e, f in zip(end, first, strict=True))
            inside = [range(max(f, 0), min(e, m)) for f, e, m in zip(first, end, x.shape[2:], strict=True)]
            values = {at: x[(n, c, *at)] for at in itertools.product(*inside)}
            if method == "MAX":
                y[(n, c, *to)] = max(values.values(), default=-float(np.finfo(np.float32).max))
            else:
                y[(n, c, *to)] = sum(values.values()) / positions if positions else np.nan
            for at, value in values.items() if dy is not None else ():
                if method == "AVE":
                    dx[(n, c, *at)] += dy[(n, c, *to)] / positions
                elif value == y[(n, c, *to)]:
                    dx[(n, c, *at)] += dy[(n, c, *to)]
    return y, dx


@pytest.mark.parametrize("holder", ["pooling3d_param", "pooling_param"])
@pytest.mark.parametrize("shape", [(2, 2, 4, 5, 6), (1, 1, 6, 7, 4)])
@pytest.mark.parametrize(("settings", "kernel", "stride", "pad"), POOLS)
def test_pooling_by_loops(settings: str, kernel: Shape, stride: Shape, pad: int, shape: Shape, holder: str) -> None:
    method = "AVE" if "pool: AVE" in settings else "MAX"
    layer, (top,) = _layer("Pooling3D", settings.replace("pooling3d_param", holder), shape)
    values = CHANCE.integers(0, 4, shape).astype(float)  # so that maxima are equal
    x = torch.from_numpy(values).requires_grad_()
    (y,) = layer.forward(run_at(), [x], [])
    dy = CHANCE.standard_normal(top)
    want, gradient = _pooled(values, dy, kernel, stride, pad, method)
    assert top == tuple(y.shape) == want.shape
    np.testing.assert_allclose(y.detach(), want, rtol=1e-12)
    y.backward(torch.from_numpy(dy))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, gradient, rtol=1e-12, atol=1e-14)


def test_equal_maxima_all_get_the_gradient() -> None:
    layer, _ = _layer("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 1 stride: 2 }", (1, 1, 1, 2, 2))
    x = torch.tensor([[[[[3.0, 1.0], [3.0, 2.0]]]]], requires_grad=True)
    layer.forward(run_at(), [x], [])[0].backward(torch.full((1, 1, 1, 1, 1), 5.0))
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [5, 0, 5, 0]


# -- the loss ---------------------------------------------------------------------------------------------------------


def test_voxel_loss_by_loops() -> None:
    layer, tops = _layer("VoxelSoftmaxLoss", "", (2, 3, 2, 2, 2), (2, 1, 2, 2, 2))
    scores, labels = CHANCE.standard_normal((2, 3, 2, 2, 2)), CHANCE.integers(0, 5, (2, 1, 2, 2, 2))
    loss, gradient = 0.0, np.zeros_like(scores)
    for n, *at in itertools.product(range(2), range(2), range(2), range(2)):
        e = np.exp(scores[(n, slice(None), *at)] - scores[(n, slice(None), *at)].max())
        p, label = e / e.sum(), int(labels[(n, 0, *at)])
        gradient[(n, slice(None), *at)] = p
        if label < 3:  # others have no term, but leave p in the gradient
            loss -= math.log(p[label])
            gradient[(n, label, *at)] -= 1
    x = torch.from_numpy(scores).requires_grad_()
    (y,) = layer.forward(run_at(), [x, torch.from_numpy(labels).float()], [])
    assert tops == [()]
    assert y.item() == pytest.approx(loss / 16, rel=1e-12)
    (2 * y).backward()
    np.testing.assert_allclose(x.grad, 2 * gradient / 16, rtol=1e-10)


def test_voxel_loss_refuses_negative_labels() -> None:
    layer, _ = _layer("VoxelSoftmaxLoss", "", (1, 3, 1, 1, 2), (1, 1, 1, 1, 2))
    with pytest.raises(LayerError, match="a label must not be negative, got -2"):
        layer.forward(run_at(), [torch.zeros(1, 3, 1, 1, 2), torch.tensor([0.0, -2.0]).reshape(1, 1, 1, 1, 2)], [])


# -- faults -----------------------------------------------------------------------------------------------------------


CLIP = (1, 2, 4, 4, 4)


@pytest.mark.parametrize(
    ("kind", "settings", "shape", "told"),
    [
        ("Convolution3D", "convolution_param { num_output: 2 kernel_size: 3 }", CLIP, "kernel_depth is missing, or 0"),
        (
            "Convolution3D",
            "convolution_param { num_output: 2 kernel_size: 1 kernel_depth: 1 }",
            (1, 2, 4, 4),
            "needs a bottom of 5 axes (num, channels, length, height, width), got (1, 2, 4, 4)",
        ),
        (
            "Convolution3D",
            "convolution_param { num_output: 2 kernel_size: 1 kernel_size: 2 kernel_depth: 1 }",
            CLIP,
            "kernel_size is given 2 times: here it is one number for height and width",
        ),
        (
            "Convolution3D",
            "convolution_param { num_output: 3 kernel_size: 1 kernel_depth: 1 filter_group: 2 }",
            CLIP,
            "num_output must be a multiple of filter_group, got 3 with filter_group: 2",
        ),
        (
            "Convolution3D",
            "convolution_param { num_output: 3 } convolution3d_param { kernel_size: 1 kernel_depth: 1 }",
            CLIP,
            "convolution3d_param and convolution_param are both given",
        ),
        (
            "Convolution3D",
            "convolution_param { num_output: 2 kernel_size: 3 kernel_depth: 5 }",
            (1, 2, 2, 4, 4),
            "the kernel spans 5, more than the input of 2 with pad 0 on both sides",
        ),
    ],
)
def test_faults(kind: str, settings: str, shape: Shape, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(kind, settings, shape)
    assert told in str(raised.value)


@pytest.mark.parametrize("holder", ["pooling3d_param", "pooling_param"])
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("pooling3d_param { kernel_size: 2 kernel_depth: 2 pad: 1 }", "with pool: MAX there is no padding"),
        ("pooling3d_param { kernel_size: 2 kernel_depth: 2 pool: STOCHASTIC }", "clips are pooled by MAX or AVE only"),
        (
            "pooling3d_param { kernel_size: 2 kernel_depth: 2 temporal_stride: 0 }",
            "temporal_stride must be positive, got 0",
        ),
    ],
)
def test_faults_of_pooling(settings: str, told: str, holder: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer("Pooling3D", settings.replace("pooling3d_param", holder), CLIP)
    assert told in str(raised.value)


def test_settings_of_clips_are_warned_about_elsewhere() -> None:
    layer, _ = _layer("Convolution", "convolution_param { num_output: 1 kernel_size: 1 kernel_depth: 2 }", (1, 1, 4, 4))
    (warning,) = layer.warnings()
    assert warning.message.startswith("kernel_depth has no effect: it belongs to the layer types Convolution3D")
    layer, _ = _layer("Pooling", "pooling_param { kernel_size: 1 temporal_stride: 2 }", (1, 1, 4, 4))
    assert [w.message for w in layer.warnings()] == [
        "temporal_stride has no effect: it belongs to the layer type Pooling3D"
    ]


OLD = """
input: "x"
input_shape { dim: 2 dim: 3 dim: 16 dim: 8 dim: 8 }
layers { name: "conv" type: CONVOLUTION3D bottom: "x" top: "c" blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 } }
layers { name: "pool" type: POOLING3D bottom: "c" top: "p"
  pooling_param { pool: MAX kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 } }
layers { name: "up" type: DECONVOLUTION3D bottom: "p" top: "u"
  convolution_param {
    num_output: 5 kernel_size: 4 kernel_depth: 4 pad: 1 temporal_pad: 1 stride: 2 temporal_stride: 2
  }
}
layers { name: "prob" type: VOXEL_SOFTMAX bottom: "u" top: "prob" }
"""


def test_c3d_of_the_v1_form(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(OLD)
    net = read_net(tmp_path / "net.prototxt")
    graph = build_graph(net, state_of(net.message, TRAIN, None, []))
    assert [node.type for node in graph.nodes] == ["Input", "Convolution3D", "Pooling3D", "Deconvolution3D", "Softmax"]
    assert [graph.shape(blob) for blob in ("c", "p", "u", "prob")] == [
        (2, 4, 16, 8, 8),
        (2, 4, 8, 4, 4),
        (2, 5, 16, 8, 8),
        (2, 5, 16, 8, 8),
    ]
