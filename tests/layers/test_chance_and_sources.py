"""Dropout and DummyData: what they draw, and what they keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.layerkit import Layer

from .alone import build, run_at

DROPOUT = 'name: "d" type: "Dropout" bottom: "x" top: "y" dropout_param {{ dropout_ratio: {} }}'


def _drop(layer: Layer, x: torch.Tensor, position: int = 0) -> torch.Tensor:
    (y,) = layer.forward(run_at(position), [x], [])
    return y


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5, 0.9])
def test_dropout_keeps_the_mean(ratio: float) -> None:
    layer, _ = build(DROPOUT.format(ratio), (100_000,), phase=0)
    y = _drop(layer, torch.ones(100_000))
    scale = np.float32(1 / (1 - np.float32(ratio)))
    kept = y != 0
    assert torch.allclose(y[kept], torch.tensor(scale))
    assert float(kept.float().mean()) == pytest.approx(1 - ratio, abs=0.01)


def test_dropout_is_the_identity_in_test() -> None:
    layer, _ = build(DROPOUT.format(0.5), (50,))
    x = torch.randn(50)
    assert torch.equal(_drop(layer, x), x)


def test_dropout_draws_by_position_and_not_by_memory_format() -> None:
    shape = (2, 3, 8, 8)
    layer, _ = build(DROPOUT.format(0.5), shape, phase=0)
    x = torch.ones(shape)
    first = _drop(layer, x)
    assert torch.equal(first, _drop(layer, x))
    assert torch.equal(first, _drop(layer, x.contiguous(memory_format=torch.channels_last)))
    assert not torch.equal(first, _drop(layer, x, position=1))


def test_dropout_gives_the_gradient_the_mask_of_its_forward() -> None:
    layer, _ = build(DROPOUT.format(0.5), (1000,), phase=0)
    x = torch.ones(1000, requires_grad=True)
    y = _drop(layer, x)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], y.detach())


def test_dummy_data_draws_anew_but_keeps_its_constants() -> None:
    layer, _ = build(
        'name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param { shape { dim: 4 dim: 5 } '
        'data_filler { value: 3 } data_filler { type: "gaussian" } }'
    )
    constant, random = layer.forward(run_at(0), [], [])
    again, other = layer.forward(run_at(1), [], [])
    assert constant.tolist() == [[3.0] * 5] * 4
    assert again is constant
    assert not torch.equal(random, other)
    assert torch.equal(random, layer.forward(run_at(0), [], [])[1])


def test_dummy_data_fills_tops_of_one_filler_differently() -> None:
    layer, _ = build(
        'name: "d" type: "DummyData" top: "a" top: "b" '
        'dummy_data_param { shape { dim: 50 } data_filler { type: "uniform" } }'
    )
    a, b = layer.forward(run_at(), [], [])
    assert not torch.equal(a, b)
