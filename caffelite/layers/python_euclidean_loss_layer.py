"""Python's EuclideanLossLayer: the loss of the original's example of a Python layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, exactly, layer
from ..layerkit.stand_in import StandIn

if TYPE_CHECKING:
    from torch import Tensor


@layer("Python", dialect="EuclideanLossLayer")
class EuclideanLossLayer(StandIn):
    """`pyloss.EuclideanLossLayer`: Σ (a − b)² / 2N over N samples, of shape 1.  It takes that class's place where its
    code may not run or is not there.

    Bottoms: a and b, with as many elements in all.  Both get a gradient, (a − b)/N and its negative, times the loss
    weight, which that class leaves out.  It counts as a loss with a `loss_weight` only, like any Python layer.

    Source: `examples/pycaffe/layers/pyloss.py` of BVLC/caffe.
    """

    fork: ClassVar[str] = "BVLC/caffe, examples/pycaffe"
    example = """
    layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 64 dim: 10 } } }
    layer {
      name: "loss" type: "Python" bottom: "a" bottom: "b" top: "loss" loss_weight: 1
      python_param { module: "pyloss" layer: "EuclideanLossLayer" }
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    unlike = " (the gradient counts the loss weight)"

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        a, b = bottoms
        many = f"its bottoms must have as many elements, got shapes {a} and {b}"
        self.expect(math.prod(a) == math.prod(b), many, "bottom[1]")
        self.expect(len(a) > 0, "needs bottoms of at least 1 axis", "bottom[0]")
        return [(1,)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.losses.euclidean_loss(*bottoms).reshape(1),)
