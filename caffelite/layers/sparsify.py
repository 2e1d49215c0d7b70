"""Sparsify: values near 0 made 0, and an L1 penalty on the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Sparsify")
class Sparsify(Neuron):
    """y = 0 where |x| ≤ thre, else x brought nearer to 0 by thre; with `thre: 0` it is x.  May work in place.

    The gradient is that of the top plus coef·sign(y): as if coef·Σ|y| were added to the loss.  With a thre it is 0
    where y is 0.

    Source: `src/caffe/layers/sparsify_layer.cpp` of wenwei202/caffe.
    """

    fork: ClassVar[str] = "wenwei202/caffe"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "sparse" type: "Sparsify" bottom: "x" top: "y" sparsify_param { thre: 0.1 coef: 0.0001 } }
    """

    rereads = "top"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("sparsify_param")
        self.threshold, self.penalty = float(settings.thre), float(settings.coef)
        self.require(self.threshold >= 0, "sparsify_param.thre", "must not be negative")
        self.require(self.penalty >= 0, "sparsify_param.coef", "must not be negative")

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.shrunk(bottoms[0], self.threshold, self.penalty),)
