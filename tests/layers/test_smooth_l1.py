"""SmoothL1Loss and SmoothL1LossOHEM against sums written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

Shape = tuple[int, ...]
KINDS = ("SmoothL1Loss", "SmoothL1LossOHEM")


def make(kind: str, shapes: list[Shape], more: str = "", tops: int = 1):
    blobs = "".join(f'bottom: "{"abcd"[at]}" ' for at in range(len(shapes)))
    blobs += "".join(f'top: "t{at}" ' for at in range(tops))
    return build(f'name: "l" type: "{kind}" {blobs} {more}', *shapes)


def terms(a: np.ndarray, b: np.ndarray, sigma: float, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    found = np.zeros(a.size)
    for at, (p, t, i, o) in enumerate(zip(*(each.ravel() for each in (a, b, inside, outside)), strict=True)):
        d = i * (p - t)
        found[at] = o * (0.5 * sigma**2 * d * d if abs(d) < 1 / sigma**2 else abs(d) - 0.5 / sigma**2)
    return found.reshape(a.shape)


def numbers(shape: Shape, count: int, seed: int = 1) -> list[np.ndarray]:
    """As in the fork's own test: all bottoms, weights too, are standard normal."""
    return list(np.random.default_rng(seed).standard_normal((count, *shape)))


@pytest.mark.parametrize("sigma", [1, 2.4, 3, 0.5, -3])
@pytest.mark.parametrize("shape", [(10, 5, 1, 1), (10, 5), (2, 4, 3, 2)])
@pytest.mark.parametrize("bottoms", [2, 3, 4])
def test_by_loops(sigma: float, shape: Shape, bottoms: int) -> None:
    given = numbers(shape, bottoms)
    layer, tops = make("SmoothL1Loss", [shape] * bottoms, f"smooth_l1_loss_param {{ sigma: {sigma} }}", 2)
    loss, each = layer.forward(run_at(), [torch.from_numpy(array) for array in given], [])
    want = terms(*given[:2], sigma, *(given[2:] + [np.ones(shape)] * 2)[:2])
    assert loss.item() == pytest.approx(want.sum() / shape[0], rel=1e-5)
    places = (1, 1) if len(shape) == 2 else shape[2:]
    assert tops == [(), (shape[0], 1, *places)]
    np.testing.assert_allclose(each.numpy(), want.sum(1).reshape(tops[1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(10, 5), (2, 4, 3, 2)])
def test_of_hard_examples_by_loops(shape: Shape) -> None:
    given = numbers(shape, 3)
    layer, tops = make("SmoothL1LossOHEM", [shape] * 3, "", 2)
    loss, each = layer.forward(run_at(), [torch.from_numpy(array) for array in given], [])
    want = terms(*given[:2], 1, given[2], np.ones(shape))
    assert loss.item() == pytest.approx(want.sum() / (shape[0] * math.prod(shape[2:])), rel=1e-9)
    np.testing.assert_allclose(each.numpy(), want.sum(1).reshape(tops[1]), rtol=1e-9)


@pytest.mark.parametrize(
    ("more", "divisor"),
    [
        ("normalization: FULL", 12),
        ("normalization: VALID", 12),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
        ("normalization: PRE_FIXED pre_fixed_normalizer: 128", 128),
        ("normalization: PRE_FIXED pre_fixed_normalizer: 0.5", 1),
        ("normalization: PRE_FIXED", 1),
        ("normalize: true", 12),
        ("normalize: false", 2),
        ("pre_fixed_normalizer: 128", None),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_sum_is_divided_by(kind: str, more: str, divisor: float | None) -> None:
    given = [torch.from_numpy(array) for array in numbers((2, 4, 3, 2), 2)]
    layer, _ = make(kind, [(2, 4, 3, 2)] * 2, f"loss_param {{ {more} }}")
    (loss,) = layer.forward(run_at(), given, [])
    by = divisor if divisor is not None else {"SmoothL1Loss": 2, "SmoothL1LossOHEM": 12}[kind]
    total = terms(*(each.numpy() for each in given), 1, np.ones((2, 4, 3, 2)), np.ones((2, 4, 3, 2))).sum()
    assert loss.item() == pytest.approx(total / by, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bottoms", [2, 3])
def test_gradients(kind: str, bottoms: int) -> None:
    """Against finite differences, for predictions and targets; with σ = 2.4, as in the fork's own test."""
    more = "smooth_l1_loss_param { sigma: 2.4 }" if kind == "SmoothL1Loss" else ""
    shapes = [(10, 5)] * (4 if bottoms == 3 and kind == "SmoothL1Loss" else bottoms)
    layer, _ = make(kind, shapes, more)
    a, b, *rest = [torch.from_numpy(array) for array in numbers((10, 5), len(shapes))]
    a, b = a.requires_grad_(), b.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: layer.forward(run_at(), [a, b, *rest], []), (a, b))


def test_the_gradient_at_the_bend_is_that_of_the_straight_part() -> None:
    layer, _ = make("SmoothL1Loss", [(1, 4)] * 2)
    a = torch.tensor([[1.0, -1.0, 0.5, 0.0]], requires_grad=True)
    layer.forward(run_at(), [a, torch.zeros(1, 4)], [])[0].backward()
    assert a.grad is not None
    assert a.grad.tolist() == [[1, -1, 0.5, 0]]


def test_targets_may_lack_axes_of_size_1() -> None:
    layer, _ = make("SmoothL1Loss", [(3, 4), (3, 4, 1, 1), (3, 4, 1, 1), (3, 4)])
    a, b, *ones = torch.full((3, 4), 3.0), torch.ones(3, 4, 1, 1), torch.ones(3, 4, 1, 1), torch.ones(3, 4)
    assert layer.forward(run_at(), [a, b, *ones], [])[0].item() == 6


def test_without_samples_the_loss_is_0() -> None:
    layer, _ = make("SmoothL1Loss", [(0, 4)] * 2)
    assert layer.forward(run_at(), [torch.zeros(0, 4)] * 2, [])[0].item() == 0


@pytest.mark.parametrize(
    ("shapes", "more", "told"),
    [
        ([(3, 4), (3, 5)], "", "its bottoms must have one shape, got (3, 4) and (3, 5)"),
        ([(3, 4, 1, 1, 1)] * 2, "", "needs bottoms of 1 to 4 axes, got shape (3, 4, 1, 1, 1)"),
        ([(3, 4)] * 2, "smooth_l1_loss_param { sigma: 0 }", "sigma must not be 0, got 0"),
    ],
)
def test_faults(shapes: list[Shape], more: str, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        make("SmoothL1Loss", shapes, more)
    assert str(raised.value).startswith(f'layer "l" (SmoothL1Loss): {told}')


def test_class_weights_are_warned_about() -> None:
    layer, _ = make("SmoothL1Loss", [(3, 4)] * 2, "loss_param { weight_by_label_freqs: true }")
    assert [fault.message for fault in layer.warnings()] == [
        "weight_by_label_freqs has no effect: this loss does not weigh classes"
    ]
