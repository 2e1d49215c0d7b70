"""Upsample in its two meanings.  The first numbers are those of the fork's own test, TestForwardSquare of
`src/caffe/test/test_upsample_layer.cpp` of alexgkendall/caffe-segnet; the others come from loops over its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit import Layer

from .alone import build, run_at

Shape = tuple[int, ...]


def segnet(settings: str, *shapes: Shape) -> tuple[Layer, list[Shape]]:
    text = 'name: "up" type: "Upsample" dialect: "SegNet" bottom: "x" bottom: "m" top: "y"'
    return build(f"{text} upsample_param {{ {settings} }}", *(shapes if len(shapes) == 2 else shapes * 2))


def yolo(settings: str, shape: Shape) -> tuple[Layer, list[Shape]]:
    text = f'name: "up" type: "Upsample" dialect: "YOLO" bottom: "x" top: "y" upsample_param {{ {settings} }}'
    return build(text, shape)


def test_the_forks_own_numbers() -> None:
    x = torch.tensor([[1.0, 2.0], [9.0, 4.0]]).expand(4, 3, 2, 2)
    mask = torch.tensor([[2.0, 5.0], [12.0, 14.0]]).expand(4, 3, 2, 2)
    layer, tops = segnet("scale: 2", (4, 3, 2, 2))
    (y,) = layer.forward(run_at(), [x, mask], [])
    assert tops == [(4, 3, 4, 4)]
    want = torch.tensor([[0.0, 0, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0], [9, 0, 4, 0]])
    assert torch.equal(y, want.expand(4, 3, 4, 4))


@pytest.mark.parametrize(
    ("settings", "shape", "size"),
    [
        ("", (2, 3, 4, 5), (8, 10)),
        ("scale: 3", (2, 3, 4, 5), (12, 15)),
        ("scale_h: 2 scale_w: 3", (2, 3, 2, 2), (4, 6)),
        ("scale: 2 pad_out_h: true", (1, 1, 23, 30), (45, 60)),
        ("scale: 2 pad_out_w: true", (1, 1, 2, 3), (4, 5)),
        ("scale_h: 2 scale_w: 5 pad_out_h: true", (1, 1, 2, 3), (3, 15)),
        ("upsample_h: 45 upsample_w: 60", (1, 1, 23, 30), (45, 60)),
        ("scale: 2 pad_out_h: true upsample_h: 7 upsample_w: 9", (1, 1, 4, 4), (7, 9)),
    ],
)
def test_sizes(settings: str, shape: Shape, size: Shape) -> None:
    assert segnet(settings, shape)[1] == [(*shape[:2], *size)]


def test_it_is_the_way_back_from_pooling() -> None:
    x = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    pool, (pooled, _) = build(
        'type: "Pooling" bottom: "x" top: "y" top: "m" pooling_param { kernel_size: 2 stride: 2 }', tuple(x.shape)
    )
    values, mask = pool.forward(run_at(), [x], [])
    layer, _ = segnet("upsample_h: 7 upsample_w: 6", pooled)
    (y,) = layer.forward(run_at(), [values, mask], [])
    at_maximum = torch.zeros_like(x, dtype=torch.bool)
    for n, c, i, j in np.ndindex(*values.shape):
        at_maximum[n, c].flatten()[int(mask[n, c, i, j])] = True
    assert torch.equal(y, x * at_maximum)
    inputs = values.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: layer.forward(run_at(), [v, mask], []), inputs)


def test_values_for_one_place_all_get_its_gradient() -> None:
    x = torch.tensor([[[[1.0, 2.0]]]], requires_grad=True)
    layer, _ = segnet("", (1, 1, 1, 2))
    (y,) = layer.forward(run_at(), [x, torch.tensor([[[[3.0, 3.0]]]])], [])
    assert y.flatten()[3] in (1, 2)
    y.backward(torch.arange(8.0).reshape(y.shape))
    assert x.grad is not None
    assert x.grad.tolist() == [[[[3, 3]]]]


@pytest.mark.parametrize("place", [8, -1])
def test_a_place_outside(place: float) -> None:
    layer, _ = segnet("", (1, 1, 1, 2))
    with pytest.raises(LayerError) as raised:
        layer.forward(run_at(), [torch.ones(1, 1, 1, 2), torch.tensor([[[[3.0, place]]]])], [])
    assert str(raised.value) == (
        f'layer "up" (Upsample): place {place} of sample 0, channel 0, is outside the top of 2×4, whose places go from '
        "0 to 7\n  help: the top must be as large as the bottom of the Pooling that the second bottom comes from"
    )


@pytest.mark.parametrize(
    ("settings", "shapes", "told"),
    [
        ("scale: 1", [(1, 1, 2, 2)], "scale must be above 1, got 1"),
        ("scale_h: 2 scale_w: 1", [(1, 1, 2, 2)], "scale_w must be above 1, got 1"),
        ("scale_h: 2", [(1, 1, 2, 2)], "scale_h and scale_w must both be given, or neither"),
        ("upsample_w: 2", [(1, 1, 2, 2)], "upsample_h and upsample_w must both be given, or neither"),
        ("scale: 2 scale_h: 2 scale_w: 2", [(1, 1, 2, 2)], "scale and scale_h are both given"),
        ("scale: 3 pad_out_h: true", [(1, 1, 2, 2)], "pad_out_h is for a factor of 2 only, got 3"),
        ("upsample_h: 1 upsample_w: 4", [(1, 1, 2, 2)], "upsample_h must be above 1, got 1"),
        ("", [(1, 1, 2, 2), (1, 1, 2, 3)], "its bottoms must have one shape, got (1, 1, 2, 2) and (1, 1, 2, 3)"),
        ("", [(1, 2)], "needs a bottom of 4 axes (num, channels, height, width), got (1, 2)"),
    ],
)
def test_segnet_faults(settings: str, shapes: list[Shape], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        segnet(settings, *shapes)
    assert f'layer "up" (Upsample): {told}' in str(raised.value)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_every_pixel_becomes_a_square(scale: int) -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 3, 4))
    layer, tops = yolo(f"scale: {scale}", x.shape)
    bottom = torch.from_numpy(x).requires_grad_()
    (y,) = layer.forward(run_at(), [bottom], [])
    assert tops == [tuple(y.shape)] == [(2, 3, 3 * scale, 4 * scale)]
    dy = np.random.default_rng(2).standard_normal(y.shape)
    dx = np.zeros_like(x)
    for n, c, h, w in np.ndindex(*y.shape):
        assert y[n, c, h, w] == x[n, c, h // scale, w // scale]
        dx[n, c, h // scale, w // scale] += dy[n, c, h, w]
    (gradient,) = torch.autograd.grad(y, bottom, torch.from_numpy(dy))
    np.testing.assert_allclose(gradient, dx)


def test_without_a_scale_it_is_1() -> None:
    assert yolo("", (1, 2, 3, 4))[1] == [(1, 2, 3, 4)]


def test_yolo_faults() -> None:
    with pytest.raises(LayerError, match="scale must be positive, got 0"):
        yolo("scale: 0", (1, 2, 3, 4))
    with pytest.raises(LayerError, match="needs a bottom of 4 axes"):
        yolo("scale: 2", (1, 2))
