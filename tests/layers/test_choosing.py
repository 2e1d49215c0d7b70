"""BatchReindex, Filter, Embed, Slice, Tile, Crop and Reshape: what goes where, and what comes back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.layerkit.indices import rows_or_nan

from .alone import build, run_at


def run(text: str, *bottoms: np.ndarray, weights: tuple[np.ndarray, ...] = ()) -> list[torch.Tensor]:
    layer, _ = build(text, *(bottom.shape for bottom in bottoms))
    given = [torch.tensor(bottom, dtype=torch.float32) for bottom in bottoms]
    return list(layer.forward(run_at(), given, [torch.tensor(weight) for weight in weights]))


X = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("axis", [-3, -2, -1, 0, 1, 2])
def test_slice_points_cut_as_numpy_does(axis: int) -> None:
    points = {0: [1], 1: [1], 2: [1, 3]}[axis % 3]
    tops = " ".join(f'top: "t{index}"' for index in range(len(points) + 1))
    text = " ".join(f"slice_point: {point}" for point in points)
    got = run(f'type: "Slice" bottom: "x" {tops} slice_param {{ axis: {axis} {text} }}', X)
    for part, wanted in zip(got, np.split(X, points, axis), strict=True):
        np.testing.assert_array_equal(part.numpy(), wanted)


@pytest.mark.parametrize("axis", [-3, -2, -1, 0, 1, 2])
def test_tile_repeats_blocks(axis: int) -> None:
    (got,) = run(f'type: "Tile" bottom: "x" top: "y" tile_param {{ axis: {axis} tiles: 2 }}', X)
    np.testing.assert_array_equal(got.numpy(), np.concatenate([X, X], axis))


def test_crop_takes_a_window() -> None:
    (got,) = run(
        'type: "Crop" bottom: "x" bottom: "s" top: "y" crop_param { axis: -2 offset: 1 offset: 2 }',
        X,
        np.zeros((9, 2, 1)),
    )
    np.testing.assert_array_equal(got.numpy(), X[:, 1:3, 2:3])


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ("shape { dim: 0 dim: -1 }", (2, 12)),
        ("shape { dim: 4 dim: 0 dim: -1 }", (4, 3, 2)),
        ("shape { dim: -1 } axis: -3", (2, 12)),
        ("shape { dim: 1 dim: 1 } axis: -1", (2, 3, 4, 1, 1)),
        ("shape { dim: 1 } num_axes: 0", (1, 2, 3, 4)),
        ("shape { dim: 2 dim: 2 } axis: 2 num_axes: 1", (2, 3, 2, 2)),
        ("shape { dim: 6 } num_axes: 2", (6, 4)),
    ],
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_reshape_keeps_the_order_of_the_blob(settings: str, shape: tuple[int, ...], channels_last: bool) -> None:
    layer, tops = build(f'type: "Reshape" bottom: "x" top: "y" reshape_param {{ {settings} }}', X.shape)
    assert tops == [shape]
    bottom = torch.tensor(X)
    if channels_last:
        bottom = bottom.transpose(1, 2).contiguous().transpose(1, 2)
    np.testing.assert_array_equal(layer.forward(run_at(), [bottom], [])[0].numpy(), X.reshape(shape))


def test_reshape_works_out_the_rest_anew_for_another_batch() -> None:
    layer, _ = build('type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 0 dim: 2 dim: -1 } }', (3, 8))
    assert layer.shapes([(5, 6)]) == [(5, 2, 3)]


def test_batch_reindex_cuts_fractions_off() -> None:
    (got,) = run('type: "BatchReindex" bottom: "x" bottom: "i" top: "y"', X, np.array([1.9, 0, 1, 0.2]))
    np.testing.assert_array_equal(got.numpy(), X[[1, 0, 1, 0]])


def test_filter_keeps_what_is_not_zero_whatever_it_is() -> None:
    selector = np.array([[0.0], [-2.0], [np.nan], [0.1], [-0.0]])
    x = np.arange(10.0).reshape(5, 2)
    got = run('type: "Filter" bottom: "x" bottom: "z" bottom: "s" top: "a" top: "b"', x, x * 2, selector)
    np.testing.assert_array_equal(got[0].numpy(), x[1:4])
    np.testing.assert_array_equal(got[1].numpy(), 2 * x[1:4])


def test_filter_may_keep_nothing() -> None:
    (got,) = run('type: "Filter" bottom: "x" bottom: "s" top: "y"', np.ones((2, 3)), np.zeros(2))
    assert got.shape == (0, 3)


def test_embed_looks_rows_up() -> None:
    table, bias = np.arange(12.0, dtype=np.float32).reshape(4, 3), np.array([1, 0, 0], np.float32)
    text = 'type: "Embed" bottom: "x" top: "y" embed_param { input_dim: 4 num_output: 3 }'
    indices = np.array([[3, 0.9], [1, -0.5]])
    (got,) = run(text, indices, weights=(table, bias))
    np.testing.assert_array_equal(got.numpy(), (table + bias)[[[3, 0], [1, 0]]])


def test_where_nobody_can_wait_a_wrong_index_gives_nan() -> None:
    table = torch.arange(6.0).reshape(3, 2).requires_grad_()
    rows = rows_or_nan(table, torch.tensor([2.9, 3.0, -1.0, float("nan"), 1.0]))
    assert rows.isnan().all(1).tolist() == [False, True, True, True, False]
    assert rows[[0, 4]].tolist() == [[4, 5], [2, 3]]
    (gradient,) = torch.autograd.grad(rows[[0, 4]].sum(), table)
    assert gradient.isnan().tolist() == [[True, True], [False, False], [False, False]]


def test_parameter_is_its_weight() -> None:
    (got,) = run('type: "Parameter" top: "y" parameter_param { shape { dim: 2 } }', weights=(np.ones(2, np.float32),))
    assert got.tolist() == [1, 1]
