"""BNLL: the binomial normal log likelihood, a smooth ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Run, layer
from ..layerkit.base import torch
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 50.0


@layer("BNLL")
class BNLL(Neuron):
    """y = log(1 + eˣ), computed without overflow; dy/dx = eᵗ/(eᵗ + 1) with t = min(x, 50).

    Source: `src/caffe/layers/bnll_layer.cpp`.
    """

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (torch.nn.functional.softplus(bottoms[0], threshold=THRESHOLD),)
