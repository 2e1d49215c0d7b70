"""Power: shift, scale and a power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Power")
class Power(Neuron):
    """y = (shift + scale·x)^power, element by element.

    With power or scale 0 the input does not matter: y is 1 or shift^power, the gradient 0.  For powers other than 0, 1
    and 2 the gradient is computed as power·scale·y/(shift + scale·x), so it is NaN where shift + scale·x is 0.
    May work in place.

    Source: `src/caffe/layers/power_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "power" type: "Power" bottom: "x" top: "y" power_param { power: 2 scale: 0.1 shift: 1 } }
    """

    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("power_param")
        self.power, self.scale, self.shift = float(settings.power), float(settings.scale), float(settings.shift)
        self.constant: float | None = None
        if self.power * self.scale == 0:
            with np.errstate(all="ignore"):
                self.constant = float(np.power(np.float32(self.shift), np.float32(self.power)))

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        y = bottoms[0]
        if self.constant is not None:
            return (ops.elementwise.constant(y, self.constant),)
        if self.scale != 1:
            y = y * self.scale
        if self.shift != 0:
            y = y + self.shift
        if self.power == 2:
            y = y.square()
        elif self.power != 1:
            y = ops.elementwise.power(y, self.power)
        return (y,)
