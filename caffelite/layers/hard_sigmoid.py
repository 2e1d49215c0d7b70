"""HardSigmoid: a sigmoid made of straight lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("HardSigmoid")
class HardSigmoid(Neuron):
    """y = min(max(alpha·x + beta, 0), 1), element by element; the gradient is alpha where y is between 0 and 1, else 0.
    May work in place.

    Sources: `src/caffe/layers/hard_sigmoid_layer.cpp` of foss-for-synopsys-dwc-arc-processors/synopsys-caffe, which has
    no backward, and of eric612/MobileNet-YOLO, which has no settings and a gradient of alpha everywhere.
    """

    fork: ClassVar[str] = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "gate" type: "HardSigmoid" bottom: "x" top: "y" hard_sigmoid_param { alpha: 0.2 beta: 0.5 } }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("hard_sigmoid_param")
        self.slope, self.middle = float(settings.alpha), float(settings.beta)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (torch.nn.functional.hardtanh(bottoms[0] * self.slope + self.middle, 0, 1),)
