"""Interp against loops written from `src/caffe/util/interp.cpp` of hszhao/PSPNet; sizes from its layer's Reshape."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit import Layer

from .alone import build, run_at

Shape = tuple[int, ...]


def interp(settings: str, *shapes: Shape) -> tuple[Layer, list[Shape]]:
    bottoms = " ".join(f'bottom: "b{at}"' for at in range(len(shapes)))
    return build(f'name: "l" type: "Interp" {bottoms} top: "y" interp_param {{ {settings} }}', *shapes)


def by_loops(x: np.ndarray, height: int, width: int, dy: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The top, and the bottom's gradient for dy."""
    y, dx = np.zeros((*x.shape[:2], height, width)), np.zeros(x.shape)
    dy = np.zeros_like(y) if dy is None else dy
    ratios = [
        np.float32(have - 1) / np.float32(want - 1) if want > 1 else np.float32(0)
        for have, want in zip(x.shape[2:], (height, width), strict=True)
    ]
    for h, w in np.ndindex(height, width):
        h1r, w1r = ratios[0] * np.float32(h), ratios[1] * np.float32(w)
        h1, w1 = int(h1r), int(w1r)
        h1p, w1p = int(h1 < x.shape[2] - 1), int(w1 < x.shape[3] - 1)
        hl, wl = float(h1r - np.float32(h1)), float(w1r - np.float32(w1))
        for rows, columns, part in (
            (h1, w1, (1 - hl) * (1 - wl)),
            (h1, w1 + w1p, (1 - hl) * wl),
            (h1 + h1p, w1, hl * (1 - wl)),
            (h1 + h1p, w1 + w1p, hl * wl),
        ):
            y[:, :, h, w] += part * x[:, :, rows, columns]
            dx[:, :, rows, columns] += part * dy[:, :, h, w]
    return y, dx


@pytest.mark.parametrize(
    ("settings", "shape", "size"),
    [
        ("zoom_factor: 2", (2, 3, 3, 4), (5, 7)),
        ("zoom_factor: 8", (1, 1, 60, 60), (473, 473)),
        ("shrink_factor: 2", (1, 3, 9, 8), (5, 4)),
        ("shrink_factor: 3", (1, 1, 7, 6), (3, 2)),
        ("height: 33 width: 65", (1, 2, 3, 1), (33, 65)),
        ("height: 1 width: 1", (1, 2, 3, 4), (1, 1)),
        ("height: 3 width: 4", (1, 2, 3, 4), (3, 4)),
        ("height: 7 width: 4", (1, 2, 3, 4), (7, 4)),
        ("shrink_factor: 2 zoom_factor: 3", (1, 1, 9, 9), (13, 13)),
        ("height: 5 width: 6 shrink_factor: 2 zoom_factor: 3", (1, 1, 9, 9), (5, 6)),
        ("height: 5 width: 6 zoom_factor: 3", (1, 1, 4, 4), (10, 10)),
        ("zoom_factor: 2 pad_beg: -1 pad_end: -2", (1, 2, 6, 7), (5, 7)),
    ],
)
def test_by_loops(settings: str, shape: Shape, size: Shape) -> None:
    x = np.random.default_rng(1).standard_normal(shape)
    layer, tops = interp(settings, shape)
    assert tops == [(*shape[:2], *size)]
    dy = np.random.default_rng(2).standard_normal(tops[0])
    bottom = torch.from_numpy(x).requires_grad_()
    (y,) = layer.forward(run_at(), [bottom], [])
    (dx,) = torch.autograd.grad(y, bottom, torch.from_numpy(dy))
    cut = np.s_[:, :, 1:-2, 1:-2] if "pad" in settings else np.s_[:]
    want, gradient = by_loops(x[cut], *size, dy)
    np.testing.assert_allclose(y.detach(), want, rtol=1e-12, atol=1e-12)
    padded = np.zeros_like(x)
    padded[cut] = gradient
    np.testing.assert_allclose(dx, padded, rtol=1e-12, atol=1e-12)


def test_corners_lie_on_corners() -> None:
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    layer, _ = interp("zoom_factor: 2", (1, 1, 2, 2))
    (y,) = layer.forward(run_at(), [x], [])
    assert y.tolist() == [[[[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]]]


def test_a_second_bottom_gives_the_size_whatever_else_is_set() -> None:
    layer, tops = interp("use_blob_size: true zoom_factor: 2", (1, 3, 4, 5), (2, 7, 9, 10))
    assert tops == [(1, 3, 9, 10)]
    x = torch.randn(1, 3, 4, 5, dtype=torch.double)
    (y,) = layer.forward(run_at(), [x, torch.zeros(2, 7, 9, 10)], [])
    np.testing.assert_allclose(y, by_loops(x.numpy(), 9, 10)[0], rtol=1e-12, atol=1e-12)


def test_the_same_size_is_a_copy() -> None:
    x = torch.tensor([[[[np.inf, 1.0]]]])
    layer, _ = interp("height: 1 width: 2", (1, 1, 1, 2))
    (y,) = layer.forward(run_at(), [x], [])
    assert torch.equal(x, y)
    assert y.data_ptr() != x.data_ptr()


@pytest.mark.parametrize(
    ("settings", "shapes", "told"),
    [
        ("", [(1, 1, 2, 2)], "the size of its top is not given\n  help: give height and width, or zoom_factor"),
        ("height: 3", [(1, 1, 2, 2)], "the size of its top is not given"),
        ("zoom_factor: 0", [(1, 1, 2, 2)], "zoom_factor must be positive, got 0"),
        ("shrink_factor: -1", [(1, 1, 2, 2)], "shrink_factor must be positive, got -1"),
        (
            "zoom_factor: 2 pad_beg: 1",
            [(1, 1, 2, 2)],
            "pad_beg must not be positive: it is minus what is cut off, got 1",
        ),
        ("zoom_factor: 2 pad_end: -2", [(1, 1, 2, 2)], "nothing is left of an image of 2×2"),
        ("height: 0 width: 2", [(1, 1, 2, 2)], "its top must be an image, got 0×2"),
        ("use_blob_size: true", [(1, 1, 2, 2)], "use_blob_size needs a second bottom, got True"),
        ("zoom_factor: 2", [(1, 1, 2, 2)] * 2, "its second bottom is not used without use_blob_size: true"),
        ("zoom_factor: 2", [(2, 2)], "needs a bottom of 4 axes (num, channels, height, width), got (2, 2)"),
    ],
)
def test_faults(settings: str, shapes: list[Shape], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        interp(settings, *shapes)
    assert f'layer "l" (Interp): {told}' in str(raised.value)


def test_what_goes_before_is_told() -> None:
    layer, _ = interp("height: 5 width: 6 zoom_factor: 3", (1, 1, 4, 4))
    assert [fault.message for fault in layer.warnings()] == [
        "height has no effect: the factor goes before it",
        "width has no effect: the factor goes before it",
    ]
    assert not interp("height: 5 width: 6", (1, 1, 4, 4))[0].warnings()
