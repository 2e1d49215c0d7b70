"""Axpy, Flip, Reverse, Transpose, ShuffleChannel and ChannelScale against plain loops over the forks' formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.proto import TEST, TRAIN

from .alone import build, run_at

X = np.random.default_rng(1).standard_normal((2, 6, 3, 4))


def one(text: str, x: np.ndarray) -> np.ndarray:
    layer, (top,) = build(f'name: "l" bottom: "x" top: "y" {text}', x.shape)
    given = torch.tensor(x, requires_grad=True)
    (y,) = layer.forward(run_at(), [given], [])
    assert tuple(y.shape) == top
    assert torch.autograd.gradcheck(lambda x: tuple(layer.forward(run_at(), [x], [])), given)
    return y.detach().numpy()


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 1, 1)])
def test_axpy(shape: tuple[int, ...]) -> None:
    chance = np.random.default_rng(2)
    a, y = chance.standard_normal(shape), chance.standard_normal(X.shape)
    want = np.zeros(X.shape)
    for n, c, h, w in itertools.product(*map(range, X.shape)):
        want[n, c, h, w] = a.reshape(2, 6)[n, c] * X[n, c, h, w] + y[n, c, h, w]
    layer, tops = build('type: "Axpy" bottom: "a" bottom: "x" bottom: "y" top: "z"', shape, X.shape, X.shape)
    given = [torch.tensor(array, requires_grad=True) for array in (a, X, y)]
    (z,) = layer.forward(run_at(), given, [])
    assert tops == [X.shape]
    np.testing.assert_allclose(z.detach(), want, rtol=1e-12)
    assert torch.autograd.gradcheck(lambda *bottoms: tuple(layer.forward(run_at(), bottoms, [])), given)


@pytest.mark.parametrize(
    "settings", ["", "flip_height: true", "flip_width: false flip_height: true", "flip_width: false"]
)
def test_flip(settings: str) -> None:
    wide, high = "flip_width: false" not in settings, "flip_height: true" in settings
    want = np.zeros(X.shape)
    for n, c, h, w in itertools.product(*map(range, X.shape)):
        want[n, c, h, w] = X[n, c, 2 - h if high else h, 3 - w if wide else w]
    np.testing.assert_array_equal(one(f'type: "Flip" flip_param {{ {settings} }}', X), want)


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_reverse(axis: int) -> None:
    want = np.zeros(X.shape)
    for index in itertools.product(*map(range, X.shape)):
        turned = list(index)
        turned[axis] = X.shape[axis] - 1 - index[axis]
        want[tuple(turned)] = X[index]
    np.testing.assert_array_equal(one(f'type: "Reverse" reverse_param {{ axis: {axis} }}', X), want)


@pytest.mark.parametrize("order", [(3, 0, 2, 1), (0, 2, 3, 1), (0, 1, 2, 3)])
def test_transpose(order: tuple[int, ...]) -> None:
    want = np.zeros([X.shape[axis] for axis in order])
    for index in itertools.product(*map(range, X.shape)):
        want[tuple(index[axis] for axis in order)] = X[index]
    text = " ".join(f"dim: {axis}" for axis in order)
    np.testing.assert_array_equal(one(f'type: "Transpose" transpose_param {{ {text} }}', X), want)


@pytest.mark.parametrize("group", [1, 2, 3, 6])
def test_shuffle_channel(group: int) -> None:
    want, each = np.zeros(X.shape), 6 // group
    for i, j in itertools.product(range(group), range(each)):
        want[:, j * group + i] = X[:, i * each + j]
    np.testing.assert_array_equal(one(f'type: "ShuffleChannel" shuffle_channel_param {{ group: {group} }}', X), want)


def test_shuffle_channel_gives_axes_that_are_left_out() -> None:
    y = one('type: "ShuffleChannel" shuffle_channel_param { group: 2 }', X[:, :, 0, 0])
    assert y.shape == (2, 6, 1, 1)
    np.testing.assert_array_equal(y[:, :, 0, 0], X[:, [0, 3, 1, 4, 2, 5], 0, 0])


def scaled(text: str, phase: int, a: np.ndarray, scale: float | None = None) -> tuple[list, list, torch.Tensor]:
    """The tops of a ChannelScale, the gradients of its bottoms for a gradient of 1, 2, … at its top, and its weight."""
    shapes = (X.shape, a.shape)
    layer, _ = build(f'name: "l" type: "ChannelScale" bottom: "x" bottom: "a" {text}', *shapes, phase=phase)
    given = [torch.tensor(array, requires_grad=True) for array in (X, a)]
    weight = torch.tensor([-1.0 if scale is None else scale], dtype=torch.double)
    tops = list(layer.forward(run_at(), given, [weight] if layer.weights else []))
    above = torch.arange(1.0, X.size + 1, dtype=torch.double).reshape(X.shape)
    return tops, list(torch.autograd.grad(tops[0], given, above, allow_unused=True)), weight


A = np.random.default_rng(3).uniform(0.5, 2, (2, 1, 3, 4))
ABOVE = np.arange(1.0, X.size + 1).reshape(X.shape)
OF_A = (X * ABOVE).sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("settings", "top", "of_x", "of_a"),
    [
        ("", X * A, A * ABOVE, OF_A),
        ("do_forward: false", X, A * ABOVE, OF_A),
        ("do_backward_feature: false", X * A, ABOVE, OF_A),
        ("do_backward_scale: false", X * A, A * ABOVE, 0 * A),
    ],
)
def test_channel_scale(settings: str, top: np.ndarray, of_x: np.ndarray, of_a: np.ndarray) -> None:
    (y,), gradients, _ = scaled(f'top: "y" channel_scale_param {{ {settings} }}', TRAIN, A)
    np.testing.assert_allclose(y.detach(), top, rtol=1e-12)
    np.testing.assert_allclose(gradients[0], of_x, rtol=1e-12)
    np.testing.assert_allclose(gradients[1], of_a, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "before", "phase", "after"),
    [
        ("", None, TRAIN, A.mean()),
        ("", 10.0, TRAIN, 9.9 + 0.01 * A.mean()),
        ("max_global_scale: 2", 10.0, TRAIN, 2.0),
        ("min_global_scale: 20", 10.0, TRAIN, 20.0),
        ("", 10.0, TEST, 10.0),
    ],
)
def test_channel_scale_by_one_number(settings: str, before: float | None, phase: int, after: float) -> None:
    text = f'top: "y" top: "s" channel_scale_param {{ global_scale: true {settings} }}'
    (y, told), gradients, weight = scaled(text, phase, A, before)
    assert weight.item() == told.item() == pytest.approx(after)
    np.testing.assert_allclose(y.detach(), X * after, rtol=1e-12)
    np.testing.assert_allclose(gradients[0], A * ABOVE, rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "shapes", "told"),
    [
        (
            'type: "Axpy" bottom: "a" bottom: "x" bottom: "y" top: "z"',
            [(2, 5), (2, 6, 3), (2, 6, 4)],
            "needs a factor for each sample and channel of (2, 6, 3), (2, 6), got (2, 5)|"
            "its last two bottoms must have one shape, got (2, 6, 3) and (2, 6, 4)",
        ),
        (
            'type: "Flip" bottom: "x" top: "y"',
            [(2, 3)],
            "needs a bottom of 4 axes (num, channels, height, width), got (2, 3)",
        ),
        (
            'type: "Reverse" bottom: "x" top: "y" reverse_param { axis: 2 }',
            [(2, 3)],
            "axis must be an axis of a 2-d blob, got 2",
        ),
        (
            'type: "Transpose" bottom: "x" top: "y" transpose_param { dim: 1 dim: 1 }',
            [(2, 3)],
            "dim must name each axis of its bottom of shape (2, 3) once, got [1, 1]",
        ),
        (
            'type: "ShuffleChannel" bottom: "x" top: "y" shuffle_channel_param { group: 4 }',
            [(2, 6)],
            "group must divide the 6 channels of its bottom of shape (2, 6), got 4",
        ),
        (
            'type: "ShuffleChannel" bottom: "x" top: "y" shuffle_channel_param { group: 0 }',
            [(2, 6)],
            "group must be positive, got 0",
        ),
        (
            'type: "ChannelScale" bottom: "x" bottom: "a" top: "y" top: "s"',
            [(2, 6, 3, 4), (2, 1, 3, 5)],
            "takes 1 top without global_scale: true, got 2",
        ),
        (
            'type: "ChannelScale" bottom: "x" bottom: "a" top: "y"',
            [(2, 6, 3, 4), (2, 1, 3, 5)],
            "needs a number for each sample and position of (2, 6, 3, 4), got (2, 1, 3, 5)",
        ),
        (
            'type: "ChannelScale" bottom: "x" bottom: "a" top: "y" param { } channel_scale_param { global_scale: 1 }',
            [(2, 6, 3, 4), (2, 1, 3, 4)],
            "lr_mult must be 0: its weight is collected, and is not learned; got 1",
        ),
    ],
)
def test_faults(text: str, shapes: list[tuple[int, ...]], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        build(text, *shapes)
    assert [fault.message for fault in raised.value.faults] == told.split("|")
