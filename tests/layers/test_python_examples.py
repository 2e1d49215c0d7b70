"""Python layers of one file, whose code need not be there: the original's example of a loss, and Norm2Layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffelite.assembly import make_layer
from caffelite.errors import LayerError, nowhere
from caffelite.proto import TRAIN

from .alone import run_at, settings

EUCLIDEAN = (
    'name: "p" type: "Python" bottom: "a" bottom: "b" top: "y" '
    'python_param { module: "pyloss" layer: "EuclideanLossLayer" }'
)
NORM = 'name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "norm2layer" layer: "Norm2Layer" }'


def build(text: str, *bottoms: tuple[int, ...]) -> Any:
    layer = make_layer(settings(text), TRAIN, nowhere, allow_python=False)
    layer.setup(bottoms)
    layer.raise_faults()
    shapes = [tuple(shape) for shape in layer.shapes(bottoms)]
    layer.raise_faults()
    return layer, shapes


def test_euclidean_loss() -> None:
    """`examples/pycaffe/layers/pyloss.py`: Σ d²/2N, d/N and −d/N."""
    a, b = np.random.default_rng(1).standard_normal((2, 4, 3))
    layer, shapes = build(EUCLIDEAN, a.shape, b.shape)
    given = [torch.tensor(array, requires_grad=True) for array in (a, b)]
    (y,) = layer.forward(run_at(), given, [])
    gradients = torch.autograd.grad(y.sum(), given)
    assert shapes == [tuple(y.shape)] == [(1,)]
    assert y.item() == pytest.approx(((a - b) ** 2).sum() / 8)
    for gradient, sign in zip(gradients, (1, -1), strict=True):
        np.testing.assert_allclose(gradient, sign * (a - b) / 4)
    (note,) = layer.warnings()
    assert note.message.startswith("caffelite's own layer takes the place of pyloss.EuclideanLossLayer, of BVLC/caffe")
    with pytest.raises(LayerError, match="as many elements"):
        build(EUCLIDEAN, (4, 3), (4, 2))


def test_norm2() -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0], [-1.0, 0.0]])
    layer, shapes = build(NORM, (3, 2, 1, 1))
    given = torch.tensor(x.reshape(3, 2, 1, 1), requires_grad=True)
    (y,) = layer.forward(run_at(), [given], [])
    assert shapes == [tuple(y.shape)] == [(3, 2)]
    np.testing.assert_allclose(y, [[0.6, 0.8], [0, 0], [-1, 0]])
    assert not y.requires_grad  # that class has no backward
    with pytest.raises(LayerError, match="needs a bottom of N×K"):
        build(NORM, (3, 2, 2, 1))
