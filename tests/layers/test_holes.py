"""DeepLab's older names of dilation."""

from __future__ import annotations

import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

TEXT = (
    'type: "Convolution" bottom: "x" top: "y" convolution_param {{ num_output: 2 kernel_size: 3 bias_term: false {} }}'
)


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("hole: 2", "dilation: 2"),
        ("hole: 1", ""),
        ("hole_h: 2 hole_w: 3", "dilation: 2 dilation: 3"),
        ("hole: 2 pad: 2 stride: 2", "dilation: 2 pad: 2 stride: 2"),
    ],
)
def test_holes_are_dilation(old: str, today: str) -> None:
    x, weight = torch.randn(1, 3, 9, 11), torch.randn(2, 3, 3, 3)
    (mine, shapes), (other, wanted) = build(TEXT.format(old), x.shape), build(TEXT.format(today), x.shape)
    assert shapes == wanted
    assert torch.equal(mine.forward(run_at(), [x], [weight])[0], other.forward(run_at(), [x], [weight])[0])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("hole: 2 dilation: 2", "dilation and hole are both given"),
        ("hole: 0", "hole must be positive, got 0"),
        ("hole_h: 2", "needs hole_h and hole_w, for 2 spatial axes"),
        ("hole: 2 hole_h: 2 hole_w: 2", "needs hole_h and hole_w"),
    ],
)
def test_settings(settings: str, told: str) -> None:
    with pytest.raises(LayerError, match=told):
        build(TEXT.format(settings), (1, 3, 9, 11))
