"""InnerProduct against plain matrix products."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

Shape = tuple[int, ...]


def _layer(param: str, shape: Shape) -> tuple:
    return build(f'name: "i" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {{ {param} }}', shape)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("axis", "shape", "top"),
    [
        (1, (2, 3), (2, 4)),
        (1, (2, 3, 2, 5), (2, 4)),
        (2, (2, 3, 2, 5), (2, 3, 4)),
        (3, (2, 3, 2, 5), (2, 3, 2, 4)),
        (-1, (2, 3, 2, 5), (2, 3, 2, 4)),
        (-4, (2, 3, 2, 5), (4,)),
        (0, (6,), (4,)),
    ],
)
def test_product_by_hand(axis: int, shape: Shape, top: Shape, transpose: bool, bias: bool) -> None:
    random = np.random.default_rng(7)
    param = f"num_output: 4 axis: {axis} transpose: {str(transpose).lower()} bias_term: {str(bias).lower()}"
    layer, declared = _layer(param, shape)
    x = random.standard_normal(shape)
    weights = [random.standard_normal(spec.shape) for spec in layer.weights]
    matrix = weights[0] if transpose else weights[0].T
    want = x.reshape(-1, len(matrix)) @ matrix + (weights[1] if bias else 0)
    bottom = torch.from_numpy(x)
    if bottom.dim() == 4:
        bottom = bottom.contiguous(memory_format=torch.channels_last)
    (y,) = layer.forward(run_at(), [bottom], [torch.from_numpy(weight) for weight in weights])
    assert declared == [top] == [tuple(y.shape)]
    assert len(weights) == 1 + bias
    np.testing.assert_allclose(y.reshape(want.shape), want)


@pytest.mark.parametrize("transpose", ["true", "false"])
def test_gradient(transpose: str) -> None:
    layer, _ = _layer(f"num_output: 3 transpose: {transpose}", (2, 2, 2, 3))
    given = [torch.randn(shape, dtype=torch.double) for shape in ((2, 2, 2, 3), *(w.shape for w in layer.weights))]
    inputs = tuple(tensor.requires_grad_() for tensor in given)
    assert torch.autograd.gradcheck(lambda x, *weights: layer.forward(run_at(), [x], weights), inputs)


def test_multiply_adds() -> None:
    layer, tops = _layer("num_output: 10 axis: 2", (2, 3, 4, 5))
    assert layer.multiply_adds([(2, 3, 4, 5)], tops) == 2 * 3 * 10 * 20


def test_a_new_batch_and_a_new_image() -> None:
    layer, _ = _layer("num_output: 4", (2, 3, 4, 5))
    assert list(layer.shapes([(7, 5, 4, 3)])) == [(7, 4)]
    layer.shapes([(2, 3, 4, 6)])
    with pytest.raises(LayerError) as raised:
        layer.raise_faults()
    assert str(raised.value) == (
        'layer "i" (InnerProduct): the weights are for 60 inputs, (2, 3, 4, 6) from axis 1 on has 72'
    )


def test_an_axis_from_the_end_stays_there() -> None:
    layer, _ = _layer("num_output: 4 axis: -1", (2, 5))
    assert list(layer.shapes([(7, 3, 5)])) == [(7, 3, 4)]
    layer.raise_faults()
    x, weight = torch.randn(7, 3, 5), torch.randn(4, 5)
    (y,) = layer.forward(run_at(), [x], [weight, torch.zeros(4)])
    torch.testing.assert_close(y, torch.einsum("abk,ok->abo", x, weight))
    with pytest.raises(LayerError, match="axis must be an axis of a 0-d blob, got -1"):
        layer.shapes([()])


@pytest.mark.parametrize(
    ("param", "shape", "told"),
    [
        ("", (2, 3), "num_output must be positive, got 0"),
        ("num_output: 4 axis: 2", (2, 3), "axis must be an axis of a 2-d blob, got 2"),
        (
            'num_output: 4 weight_filler { type: "xaver" }',
            (2, 3),
            'weight_filler type names no filler, got "xaver"\n  help: did you mean xavier?',
        ),
        (
            'num_output: 4 weight_filler { type: "bilinear" }',
            (2, 3),
            'weight_filler type "bilinear" fills square kernels of 4-d weights, this weight is (4, 3)',
        ),
    ],
)
def test_faults(param: str, shape: Shape, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(param, shape)
    assert str(raised.value) == f'layer "i" (InnerProduct): {told}'
