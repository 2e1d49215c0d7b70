"""Permute against NumPy's transpose."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

SHAPE = (2, 3, 4, 5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("order", "axes"),
    [
        ([0, 2, 3, 1], (0, 2, 3, 1)),
        ([], (0, 1, 2, 3)),
        ([3], (3, 0, 1, 2)),
        ([2, 0], (2, 0, 1, 3)),
        ([0, 1, 3, 2],) * 2,
    ],
)
def test_axes_come_in_their_new_order(
    order: list[int], axes: tuple[int, ...], memory_format: torch.memory_format
) -> None:
    """The shapes of the first two are those of TestSetUp and TestSetUpIdentity of the source's
    `src/caffe/test/test_permute_layer.cpp`."""
    param = " ".join(f"order: {axis}" for axis in order)
    layer, (top,) = build(f'name: "p" type: "Permute" bottom: "x" top: "y" permute_param {{ {param} }}', SHAPE)
    x = np.random.default_rng(0).standard_normal(SHAPE)
    given = torch.from_numpy(x).contiguous(memory_format=memory_format).requires_grad_()
    (y,) = layer.forward(run_at(), [given], [])
    want = x.transpose(axes)
    assert top == tuple(y.shape) == want.shape
    np.testing.assert_array_equal(y.detach(), want)
    gradient = torch.from_numpy(np.random.default_rng(1).standard_normal(want.shape))
    y.backward(gradient)
    assert given.grad is not None
    np.testing.assert_array_equal(given.grad, gradient.numpy().transpose(np.argsort(axes)))


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("order: 0 order: 4", "order must be axes of its bottom of shape (2, 3, 4, 5), got 4"),
        ("order: 1 order: 0 order: 1", "order names axis 1 twice"),
    ],
)
def test_faults(param: str, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        build(f'name: "p" type: "Permute" bottom: "x" top: "y" permute_param {{ {param} }}', SHAPE)
    assert str(raised.value) == f'layer "p" (Permute): {told}'
