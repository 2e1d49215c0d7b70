"""Log: the logarithm to a base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron, log_of_base

if TYPE_CHECKING:
    from torch import Tensor


@layer("Log")
class Log(Neuron):
    """y = log_base(shift + scale·x), element by element; `base: -1`, the default, stands for e.

    May work in place, where the original's backward takes y for x, which stands where x was; so does this.

    Source: `src/caffe/layers/log_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "log" type: "Log" bottom: "x" top: "y" log_param { base: 2 shift: 1 } }
    """

    rereads = "bottom"
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, logarithm = self.settings("log_param"), log_of_base(self, "log_param")
        self.require(logarithm != 0, "log_param.base", "must not be 1, whose logarithm is 0")
        self.raise_faults()
        self.scale, self.shift = float(settings.scale), float(settings.shift)
        self.factor = float(np.float32(1) / logarithm)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.logarithm(bottoms[0], self.scale, self.shift, self.factor, self.in_place),)
