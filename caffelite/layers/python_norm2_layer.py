"""Python's Norm2Layer: vectors brought to length 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, exactly, layer
from ..layerkit.stand_in import StandIn

if TYPE_CHECKING:
    from torch import Tensor


@layer("Python", dialect="Norm2Layer")
class Norm2Layer(StandIn):
    """`norm2layer.Norm2Layer`: y = x / √Σx² for each sample, N×K (or N×K×1×1) → N×K; a sample of zeros stays as it is.
    It takes that class's place where its code may not run or is not there.

    Nothing gets a gradient, as there: what lies before it learns nothing from what lies behind it.

    Source: `tripletloss/norm2layer.py` of JoeFannie/tripletloss and others, which calls scikit-learn's `normalize`.
    """

    fork: ClassVar[str] = "JoeFannie/tripletloss, abby621/tripletloss"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 8 dim: 128 } } }
    layer {
      name: "unit" type: "Python" bottom: "x" top: "y"
      python_param { module: "norm2layer" layer: "Norm2Layer" }
    }
    """

    bottoms, tops = exactly(1), exactly(1)
    ungraded = passed_over = frozenset({0})

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x = bottoms[0]
        flat = len(x) >= 2 and math.prod(x[2:]) == 1
        self.expect(flat, f"needs a bottom of N×K, got shape {x}", "bottom[0]")
        return [x[:2]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0].detach().flatten(1)
        length = x.square().sum(1, keepdim=True).sqrt()
        return (x / length.where(length > 0, 1),)
