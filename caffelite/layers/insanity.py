"""Insanity: a leaky ReLU whose leak is drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.neuron import Neuron
from ..proto import TRAIN

if TYPE_CHECKING:
    from torch import Tensor


@layer("Insanity")
class Insanity(Neuron):
    """y = x where x > 0, else x/r: the randomized leaky ReLU.  May work in place.

    In TRAIN each element draws its own r evenly between `lb` and `ub`; in TEST r is (ub − lb)/(log ub − log lb), whose
    reciprocal is the mean of 1/r.  The draw depends on (seed, layer, position) and the shape.  The gradient at 0 is
    1/r.

    Sources: `src/caffe/layers/insanity_layer.cpp`, `insanity_layer.cu` of happynear/caffe-windows; Xu, Wang, Chen and
    Li, "Empirical evaluation of rectified activations in convolution network", 2015.
    """

    fork: ClassVar[str] = "happynear/caffe-windows"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "rrelu" type: "Insanity" bottom: "x" top: "y" insanity_param { lb: 3 ub: 8 } }
    """

    rereads = "bottom"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, shape = self.settings("insanity_param"), bottoms[0]
        self.low, self.high = float(settings.lb), float(settings.ub)
        self.expect(len(shape) >= 2, f"needs a bottom with at least 2 axes, got {shape}", "bottom")
        self.require(self.low > 0, "insanity_param.lb", "must be positive")
        above = self.require(self.high > self.low, "insanity_param.ub", f"must be above lb, {self.low:g}")
        self.raise_faults()
        self.middle = (self.high - self.low) / (math.log(self.high) - math.log(self.low)) if above else 1.0

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0]
        leak: Tensor | float = self.middle
        if self.phase == TRAIN:
            drawn = torch.empty(x.shape, dtype=x.dtype, device=x.device)
            leak = drawn.uniform_(self.low, self.high, generator=run.generator(self.name))
        return (ops.elementwise.divided_below_zero(x, leak, self.in_place),)
