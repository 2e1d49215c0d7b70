"""SPP against cells cut by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

Shape = tuple[int, ...]
FORMATS = [torch.contiguous_format, torch.channels_last]


def _layer(param: str, shape: Shape, phase: int = 1) -> tuple:
    return build(f'name: "s" type: "SPP" bottom: "x" top: "y" spp_param {{ {param} }}', shape, phase=phase)


def _level(x: np.ndarray, bins: int, pool: str) -> np.ndarray:
    """Cells of bins×bins: k = ⌈size / bins⌉ wide, the first beginning (k·bins − size + 1) // 2 before the image.

    An average counts the positions of the padded image, which ends as far behind the image.
    """
    edges = []
    for size in x.shape[2:]:
        k = -(-size // bins)
        pad = (k * bins - size + 1) // 2
        starts = [i * k - pad for i in range(bins)]
        edges.append([(max(0, a), min(size, a + k), min(size + pad, a + k) - a) for a in starts])
    y = np.zeros((*x.shape[:2], bins, bins))
    for i, (top, bottom, rows) in enumerate(edges[0]):
        for j, (left, right, columns) in enumerate(edges[1]):
            cell = x[:, :, top:bottom, left:right]
            y[:, :, i, j] = cell.max((2, 3)) if pool == "MAX" else cell.sum((2, 3)) / (rows * columns)
    return y


@pytest.mark.parametrize("memory_format", FORMATS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("height", "shape"),
    [
        (1, (2, 3, 5, 4)),
        (2, (1, 2, 7, 6)),
        (2, (2, 1, 2, 3)),
        (3, (2, 3, 9, 10)),
        (3, (1, 1, 7, 16)),
        (4, (2, 2, 8, 15)),
    ],
)
def test_cells_by_hand(height: int, shape: Shape, pool: str, memory_format: torch.memory_format) -> None:
    layer, (top,) = _layer(f"pyramid_height: {height} pool: {pool}", shape)
    x = torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    (y,) = layer.forward(run_at(), [x.contiguous(memory_format=memory_format)], [])
    levels = [_level(x.numpy(), 2**level, pool) for level in range(height)]
    count = shape[1] * (4**height - 1) // 3
    assert top == tuple(y.shape) == ((shape[0], count) if height > 1 else (*shape[:2], 1, 1))
    np.testing.assert_allclose(y.reshape(len(x), -1), np.concatenate([v.reshape(len(x), -1) for v in levels], 1))


def test_the_declared_shape_is_the_computed_one_wherever_the_original_accepts_it() -> None:
    accepted = refused = 0
    for height in range(1, 5):
        for rows in range(1, 20):
            shape = (2, 3, rows, 20 - rows)
            try:
                layer, declared = _layer(f"pyramid_height: {height}", shape)
            except LayerError:
                refused += 1
                sides = [(n, 2**level) for n in shape[2:] for level in range(height)]
                assert any((-(-n // b) * b - n + 1) // 2 >= -(-n // b) for n, b in sides)
                continue
            (y,) = layer.forward(run_at(), [torch.randn(shape)], [])
            assert [tuple(y.shape)] == declared
            accepted += 1
    assert accepted > 20
    assert refused > 20


@pytest.mark.parametrize(("height", "pool"), [(1, "AVE"), (2, "MAX"), (3, "AVE"), (3, "MAX")])
def test_gradient(height: int, pool: str) -> None:
    layer, _ = _layer(f"pyramid_height: {height} pool: {pool}", (2, 2, 7, 6))
    order = torch.randperm(168, generator=torch.Generator().manual_seed(1))
    x = order.double().reshape(2, 2, 7, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x], []), x)


def test_the_length_does_not_follow_the_size_of_the_image() -> None:
    layer, tops = _layer("pyramid_height: 3", (2, 3, 8, 8))
    assert tops == [(2, 63)]
    assert list(layer.shapes([(5, 3, 31, 12)])) == [(5, 63)]
    assert layer.forward(run_at(), [torch.randn(5, 3, 31, 12)], [])[0].shape == (5, 63)


def test_an_empty_batch() -> None:
    layer, tops = _layer("pyramid_height: 2", (0, 3, 8, 8))
    assert tops == [(0, 15)]
    assert layer.forward(run_at(), [torch.zeros(0, 3, 8, 8)], [])[0].shape == (0, 15)


def test_stochastic_draws_in_train_and_takes_the_mean_in_test() -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    drawing, _ = _layer("pyramid_height: 2 pool: STOCHASTIC", (2, 3, 8, 8), phase=0)
    draws = [drawing.forward(run_at(position), [x], [])[0] for position in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    values = x.flatten(2)
    assert all((draws[0][:, c : c + 1] == values[:, c]).any(1).all() for c in range(3))
    mean, _ = _layer("pyramid_height: 2 pool: STOCHASTIC", (2, 3, 8, 8))
    (y,) = mean.forward(run_at(), [x], [])
    torch.testing.assert_close(y[:, :3], values.square().sum(2) / values.sum(2))


@pytest.mark.parametrize(
    ("param", "shape", "told"),
    [
        ("", (1, 2, 5, 5), "pyramid_height must be positive, got 0"),
        ("pyramid_height: 1", (2, 3), "needs a bottom of 4 axes (num, channels, height, width), got (2, 3)"),
        ("pyramid_height: 1", (2, 3, 0, 4), "needs an image, got (2, 3, 0, 4)"),
        (
            "pyramid_height: 4000000000",
            (1, 1, 5, 8),
            "4×4 windows of one size do not fit an image of 5×8: they would be 2×2, with padding of 2×0, which must be "
            "less\n  help: set a smaller pyramid_height",
        ),
        (
            "pyramid_height: 2 pool: STOCHASTIC",
            (1, 1, 4, 5),
            "pool: STOCHASTIC has no padding, and windows of 2×3 need some to cover an image of 4×5\n"
            "  help: use MAX or AVE",
        ),
    ],
)
def test_faults(param: str, shape: Shape, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(param, shape)
    assert str(raised.value) == f'layer "s" (SPP): {told}'
