"""ROIWarping, MaskResize and MaskPooling against loops, written from the fork's formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

ROIS = np.array(
    [
        [0.0, 1, 1, 6, 6],
        [2, 6, 2, 7, 11],
        [1, 3, 1, 5, 10],
        [0, 3, 3, 3, 3],
        [1, 5, 9, 2, 4],  # its ends the wrong way round: one place
        [0, -3, -2, 2, 30],  # partly off the map
        [3, 20, 20, 24, 28],  # off the map
        [1, 0.5, 1.5, 2.5, 3.49],  # halves
    ]
)
SHAPE = (4, 2, 12, 8)


def between(plane: np.ndarray, h: float, w: float) -> float:
    """The value at a place between places; 0 more than half a place off the plane."""
    height, width = plane.shape
    if not (-0.5 <= h <= height - 0.5 and -0.5 <= w <= width - 0.5):
        return 0.0
    h, w = min(max(h, 0), height - 1), min(max(w, 0), width - 1)
    low, left = int(h), int(w)
    lower, right = min(low + 1, height - 1), min(left + 1, width - 1)
    top = plane[low, left] * (1 - (w - left)) + plane[low, right] * (w - left)
    bottom = plane[lower, left] * (1 - (w - left)) + plane[lower, right] * (w - left)
    return top * (1 - (h - low)) + bottom * (h - low)


def warped(x: np.ndarray, rois: np.ndarray, scale: float, size: tuple[int, int], rounding: bool = True) -> np.ndarray:
    y = np.zeros((len(rois), x.shape[1], *size))
    for r, (image, *corners) in enumerate(rois):
        corners = [corner * scale for corner in corners]
        if rounding:
            corners = [math.floor(abs(corner) + 0.5) * (1 if corner >= 0 else -1) for corner in corners]
        x1, y1, x2, y2 = corners
        step = max(y2 - y1, 0) / size[0], max(x2 - x1, 0) / size[1]
        for c, i, j in itertools.product(range(x.shape[1]), *map(range, size)):
            y[r, c, i, j] = between(x[int(image), c], y1 + i * step[0], x1 + j * step[1])
    return y


def warping(size: tuple[int, int], scale: float = 1, shape=SHAPE, rois: int = len(ROIS)):
    settings = f"roi_warping_param {{ pooled_h: {size[0]} pooled_w: {size[1]} spatial_scale: {scale} }}"
    return build(f'name: "w" type: "ROIWarping" bottom: "x" bottom: "r" top: "y" {settings}', shape, (rois, 5))


@pytest.mark.parametrize("size", [(7, 7), (14, 5), (1, 2)])
@pytest.mark.parametrize("scale", [1, 0.5, 0.0625])
def test_warping_by_loops(size: tuple[int, int], scale: float) -> None:
    layer, (shape,) = warping(size, scale)
    x = np.random.default_rng(1).standard_normal(SHAPE)
    (y,) = layer.forward(run_at(), [torch.from_numpy(x), torch.from_numpy(ROIS)], [])
    assert tuple(y.shape) == shape
    np.testing.assert_allclose(y.numpy(), warped(x, ROIS, scale, size), rtol=1e-9, atol=1e-9)


def test_warping_a_map_of_one_place() -> None:
    layer, _ = warping((2, 2), shape=(1, 1, 1, 1), rois=1)
    (y,) = layer.forward(run_at(), [torch.tensor([[[[3.0]]]]), torch.tensor([[0.0, 0, 0, 0.4, 0]])], [])
    assert y.flatten().tolist() == [3, 3, 3, 3]


def test_gradient_of_the_map() -> None:
    layer, _ = warping((4, 3), 0.5)
    x = torch.randn(SHAPE, dtype=torch.double, requires_grad=True)
    rois = torch.from_numpy(ROIS)
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x, rois], []), x, fast_mode=True)


def test_gradient_of_regions_is_that_of_the_interpolation_without_rounding() -> None:
    x = np.random.default_rng(2).standard_normal((1, 2, 9, 9))
    rois = np.array([[0.0, 1, 2, 6, 5], [0, 0, 1, 3, 7]])  # whole: rounding changes nothing
    layer, _ = warping((3, 4), shape=x.shape, rois=2)
    given = torch.from_numpy(rois).requires_grad_()
    slope = np.random.default_rng(3).standard_normal((2, 2, 3, 4))
    (y,) = layer.forward(run_at(), [torch.from_numpy(x), given], [])
    y.backward(torch.from_numpy(slope))
    assert given.grad is not None
    assert not given.grad[:, 0].any()
    for r, k in itertools.product(range(2), range(1, 5)):
        # one-sided: at whole numbers the interpolation has a bend, and the fork takes the side of larger numbers
        moved = rois.copy()
        moved[r, k] += 1e-6
        change = (warped(x, moved, 1, (3, 4), rounding=False) - warped(x, rois, 1, (3, 4))) / 1e-6
        assert given.grad[r, k].item() == pytest.approx((change * slope).sum(), abs=1e-4)


def resize(before: tuple[int, ...], after: tuple[int, int]):
    settings = f"mask_resize_param {{ output_height: {after[0]} output_width: {after[1]} }}"
    return build(f'name: "m" type: "MaskResize" bottom: "x" top: "y" {settings}', before)


@pytest.mark.parametrize("after", [(14, 14), (5, 3), (21, 30), (60, 50), (1, 1)])
def test_resizing_by_loops(after: tuple[int, int]) -> None:
    layer, (shape,) = resize((2, 3, 21, 17), after)
    x = np.random.default_rng(4).standard_normal((2, 3, 21, 17))
    (y,) = layer.forward(run_at(), [torch.from_numpy(x)], [])
    want = np.zeros(shape)
    for n, c, i, j in itertools.product(*map(range, shape)):
        want[n, c, i, j] = between(x[n, c], i * 21 / after[0], j * 17 / after[1])
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-4, atol=1e-5)  # places are worked out in single precision
    if after == (60, 50):
        assert not want[:, :, -1].any()


def test_gradient_of_resizing() -> None:
    layer, _ = resize((1, 2, 5, 6), (3, 8))
    x = torch.randn(1, 2, 5, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x], []), x)


def masking(x: tuple[int, ...], mask: tuple[int, ...]):
    return build('name: "m" type: "MaskPooling" bottom: "x" bottom: "m" top: "y"', x, mask)


def test_masking() -> None:
    layer, tops = masking((2, 3, 2, 2), (2, 1, 2, 2))
    x = torch.randn(2, 3, 2, 2, dtype=torch.double, requires_grad=True)
    mask = torch.randn(2, 1, 2, 2, dtype=torch.double, requires_grad=True)
    (y,) = layer.forward(run_at(), [x, mask], [])
    assert [tuple(y.shape)] == tops
    for n, c, h, w in itertools.product(*map(range, y.shape)):
        assert y[n, c, h, w] == x[n, c, h, w] * mask[n, 0, h, w]
    assert torch.autograd.gradcheck(lambda x, mask: layer.forward(run_at(), [x, mask], []), (x, mask))


def test_faults() -> None:
    with pytest.raises(LayerError, match=r"got shapes \(2, 3, 4, 4\) and \(2, 3, 4, 4\)"):
        masking((2, 3, 4, 4), (2, 3, 4, 4))
    with pytest.raises(LayerError, match="output_width must be positive, got 0"):
        resize((1, 1, 4, 4), (3, 0))
    with pytest.raises(LayerError, match="pooled_h must be positive, got 0"):
        warping((0, 3))
