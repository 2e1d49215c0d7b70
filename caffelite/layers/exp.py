"""Exp: a power of a base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron, log_of_base

if TYPE_CHECKING:
    from torch import Tensor


@layer("Exp")
class Exp(Neuron):
    """y = base^(shift + scale·x), element by element; `base: -1`, the default, stands for e.

    May work in place.

    Source: `src/caffe/layers/exp_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "exp" type: "Exp" bottom: "x" top: "y" exp_param { base: 2 scale: 0.5 } }
    """

    rereads = "top"
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, logarithm = self.settings("exp_param"), log_of_base(self, "exp_param")
        self.raise_faults()
        self.inner = float(logarithm * np.float32(settings.scale))
        with np.errstate(over="ignore"):
            base, shift = np.float32(settings.base), np.float32(settings.shift)
            self.outer = float(np.exp(shift) if base == -1 else base**shift)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.exponential(bottoms[0], self.inner, self.outer),)
