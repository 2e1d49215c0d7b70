"""Dropout and DummyData: what they draw, and what they keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.layerkit import Layer

from ..nets import net_of
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


DUMMY = """
layer { name: "d" type: "DummyData" top: "a" top: "b" top: "c" dummy_data_param {
  shape { dim: 2 dim: 3 dim: 2 dim: 2 } shape { dim: 2 } shape { dim: 2 dim: 3 dim: 2 dim: 2 }
  data_filler { value: 3 } data_filler { type: "gaussian" } data_filler { value: 5 } } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "c" top: "y" }
layer { name: "r" type: "Reduction" bottom: "b" top: "z" }
"""


@pytest.mark.parametrize("observed", [False, True])
def test_dummy_data_draws_anew_but_keeps_its_constants_and_what_is_written_there(observed) -> None:
    net = net_of(DUMMY, observed=observed)
    assert net.blobs["a"].data.tolist() == np.full((2, 3, 2, 2), 3).tolist()
    net.forward()
    drawn = net.blobs["z"].data.copy()
    assert (net.blobs["y"].data == 8).all()
    net.blobs["a"].data[1, 2] = 7
    for _ in range(2):
        net.forward()
        assert (net.blobs["y"].data[1, 2] == 12).all()
        assert (net.blobs["y"].data[0] == 8).all()
        assert (net.blobs["a"].data[1, 2] == 7).all()
    assert net.blobs["z"].data != drawn


def test_dummy_data_fills_tops_of_one_filler_differently() -> None:
    layer, _ = build(
        'name: "d" type: "DummyData" top: "a" top: "b" '
        'dummy_data_param { shape { dim: 50 } data_filler { type: "uniform" } }'
    )
    a, b = layer.forward(run_at(), [], [])
    assert not torch.equal(a, b)
