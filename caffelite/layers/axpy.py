"""Axpy: a blob scaled channel by channel, plus another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, exactly, layer

if TYPE_CHECKING:
    from torch import Tensor


@layer("Axpy")
class Axpy(Layer):
    """z = a·x + y, a being one number for each sample and channel: N×C (or N×C×1×1), N×C×… and the same → the same.

    Bottoms: a, x, y.  It is how a squeeze-and-excitation block joins its branches.  All three get a gradient.

    Source: `src/caffe/layers/axpy_layer.cpp` of hujie-frank/SENet; Hu, Shen and Sun, 2018.
    """

    fork: ClassVar[str] = "hujie-frank/SENet"
    example = """
    layer {
      name: "in" type: "Input" top: "a" top: "x" top: "y"
      input_param { shape { dim: 2 dim: 8 dim: 1 dim: 1 } shape { dim: 2 dim: 8 dim: 5 dim: 5 }
                    shape { dim: 2 dim: 8 dim: 5 dim: 5 } }
    }
    layer { name: "axpy" type: "Axpy" bottom: "a" bottom: "x" bottom: "y" top: "z" }  # 2×8×5×5
    """

    bottoms = exactly(3)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        a, x, y = bottoms
        fits = len(x) >= 2 and a[:2] == x[:2] and set(a[2:]) <= {1}
        self.expect(fits, f"needs a factor for each sample and channel of {x}, {x[:2]}, got {a}", "bottom[0]")
        self.expect(x == y, f"its last two bottoms must have one shape, got {x} and {y}", "bottom[2]")
        return [x]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        a, x, y = bottoms
        return (a.reshape(*x.shape[:2], *[1] * (x.dim() - 2)) * x + y,)
