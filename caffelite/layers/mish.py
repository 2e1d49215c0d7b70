"""Mish: the input times the hyperbolic tangent of its softplus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, layer
from ..layerkit.base import torch
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Mish")
class Mish(Neuron):
    """y = x·tanh(log(1 + eˣ)), element by element.  May work in place.

    Source: `src/caffe/layers/mish_layer.cpp` of troyliu0105/caffe; Misra, "Mish", 2020.
    """

    fork: ClassVar[str] = "troyliu0105/caffe, foss-for-synopsys-dwc-arc-processors/synopsys-caffe"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "mish" type: "Mish" bottom: "x" top: "y" }
    """

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (torch.nn.functional.mish(bottoms[0]),)
