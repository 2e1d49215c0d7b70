"""GradientScaler: gradient reversal, for what should not be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "gradient_scaler_param"


@layer("GradientScaler")
class GradientScaler(Neuron):
    """y = x; the gradient of x is −λ times that of y.  λ = 2h/(1 + e^(−alpha·p)) − h + lower_bound, where
    h = upper_bound − lower_bound and p = min(i / max_iter, 1) in the i-th iteration, from 0 on: it grows from
    lower_bound in size.  May work in place.

    The iteration is how many forwards this net has made (there, the solver's; they differ with iter_size).  A negative
    alpha makes λ negative, so that the gradient is not reversed: there, too, as builds without debugging do not check.

    Source: `src/caffe/layers/gradient_scaler_layer.cpp` of ddtm/caffe, branch grl; Ganin and Lempitsky, 2015.
    """

    fork: ClassVar[str] = "ddtm/caffe, branch grl"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 256 } } }
    layer {
      name: "grl" type: "GradientScaler" bottom: "x" top: "y"
      gradient_scaler_param { lower_bound: 0.1 upper_bound: 1 alpha: 10 max_iter: 10000 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(_FIELD)
        rule = f"must be lower_bound, {settings.lower_bound:g}, or more"
        self.require(settings.upper_bound >= settings.lower_bound, f"{_FIELD}.upper_bound", rule)
        self.require(settings.max_iter >= 1, f"{_FIELD}.max_iter", "must be at least 1")

    def factor(self, iteration: int) -> float:
        """λ."""
        settings = self.settings(_FIELD)
        height = settings.upper_bound - settings.lower_bound
        growth = -settings.alpha * min(1.0, iteration / settings.max_iter)
        rise = 0.0 if growth > 700 else 2 * height / (1 + math.exp(growth))
        return float(rise - height + settings.lower_bound)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.scaled_gradient(bottoms[0], -self.factor(run.position)),)
