"""JSDLoss: the Jensen-Shannon divergence of two distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, layer
from ..layerkit.losses import PairLoss

if TYPE_CHECKING:
    from torch import Tensor


@layer("JSDLoss")
class JSDLoss(PairLoss):
    """Σ (p·log 2p/(p + q) + q·log 2q/(p + q)) / 2N over N samples, 0-d: p is predicted, q the target.

    Bottoms: p and q, N×…, with the same number of elements behind the first axis.  Where p ≤ 1e-5 the term is
    q·log 2, and else where q ≤ 1e-5 it is p·log 2.  p gets a gradient, log(2p/(p + q))/2N, or log(2)/2N where q ≤ 1e-5.

    Source: `jsd_loss_layer.cpp` of BestiVictory/CJS-CNN; Jin, Wu, Li, Zhang, Peng, Ge, Zou and Chi, "Predicting
    aesthetic score distribution through cumulative Jensen-Shannon divergence", 2018.
    """

    fork: ClassVar[str] = "BestiVictory/CJS-CNN"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "q"
      input_param { shape { dim: 64 dim: 10 } }
    }
    layer { name: "p" type: "Softmax" bottom: "x" top: "p" }
    layer { name: "loss" type: "JSDLoss" bottom: "p" bottom: "q" top: "loss" }
    """

    ungraded = frozenset({1})

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.losses.jensen_shannon(bottoms[0], bottoms[1].detach().reshape(bottoms[0].shape)),)
