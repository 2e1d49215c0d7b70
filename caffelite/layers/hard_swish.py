"""HardSwish: the input times a sigmoid made of straight lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, layer
from ..layerkit.base import torch
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("HardSwish")
class HardSwish(Neuron):
    """y = x·min(max(x + 3, 0), 6)/6, element by element.  May work in place.

    Source: `src/caffe/layers/hard_swish_layer.cpp` of Zeitzmz/micronet-caffe; Howard et al., "Searching for
    MobileNetV3", 2019.
    """

    fork: ClassVar[str] = "Zeitzmz/micronet-caffe, foss-for-synopsys-dwc-arc-processors/synopsys-caffe"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "swish" type: "HardSwish" bottom: "x" top: "y" }
    """

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (torch.nn.functional.hardswish(bottoms[0]),)
