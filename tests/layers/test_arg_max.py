"""ArgMax against sorting (value, index) pairs one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caffelite.errors import LayerError

from .alone import build, run_at


def _sorted(values: np.ndarray) -> list[tuple[float, int]]:
    """(value, index) pairs, the largest first."""
    return sorted(((float(value), index) for index, value in enumerate(values)), reverse=True)


def _by_pairs(x: np.ndarray, axis: int | None, top_k: int, out_max_val: bool) -> np.ndarray:
    """The top, from the pairs of each row."""
    if axis is None:
        best = [_sorted(row)[:top_k] for row in x.reshape(len(x), -1)]
        rows = [[[i for _, i in row], [v for v, _ in row]][: 2 if out_max_val else 1] for row in best]
        return np.array(rows).reshape(len(x), -1, top_k, *[1] * (x.ndim - 3))
    part = 0 if out_max_val else 1
    return np.apply_along_axis(lambda row: [pair[part] for pair in _sorted(row)[:top_k]], axis, x)


SHAPES = [(4,), (1,), (2, 5), (2, 3, 4), (2, 3, 2, 2), (2, 1, 2, 2, 2)]


@given(
    shape=st.sampled_from(SHAPES),
    axis=st.none() | st.integers(-5, 4),
    top_k=st.integers(1, 5),
    out_max_val=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_pairs(shape: tuple[int, ...], axis: int | None, top_k: int, out_max_val: bool, seed: int) -> None:
    axis = None if axis is None else axis % len(shape) - len(shape) * (axis < 0)
    size = int(np.prod(shape[1:])) if axis is None else shape[axis]
    top_k = min(top_k, size)
    x = np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)
    along = "" if axis is None else f"axis: {axis}"
    values = str(out_max_val).lower()
    text = f'type: "ArgMax" bottom: "x" top: "y" argmax_param {{ top_k: {top_k} out_max_val: {values} {along} }}'
    layer, (declared,) = build(text, shape)
    (top,) = layer.forward(run_at(), [torch.from_numpy(x)], [])
    want = _by_pairs(x, axis, top_k, out_max_val)
    assert declared == want.shape
    np.testing.assert_array_equal(top.numpy(), want)


@pytest.mark.parametrize(
    ("param", "shape", "told"),
    [
        ("top_k: 0", (2, 3), "top_k must be at least 1, got 0"),
        ("top_k: 7", (2, 3, 2), "top_k must not be over 6, the number of values, got 7"),
        ("top_k: 4 axis: 1", (2, 3, 5), "top_k must not be over 3, the number of values, got 4"),
        ("axis: -3", (2, 3), "axis must be an axis of a 2-d blob, got -3"),
        ("", (), "needs a bottom with at least 1 axis, got a scalar"),
    ],
)
def test_faults(param: str, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        build(f'name: "a" type: "ArgMax" bottom: "x" top: "y" argmax_param {{ {param} }}', shape)
    assert str(raised.value) == f'layer "a" (ArgMax): {told}'
