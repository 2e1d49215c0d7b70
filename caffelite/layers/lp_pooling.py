"""LpPooling: the p-norm of windows.  A caffelite extension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..errors import Fault
from ..layerkit.base import Shape, layer
from ..layerkit.pooling import Pooled

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run


@layer("LpPooling")
class LpPooling(Pooled):
    """y = (Σ |x|ᵖ)^(1/p) over windows of an image: p = 1 sums magnitudes, and a large p comes near to their maximum.

    N×C×H×W → N×C×H′×W′, the windows as in Pooling (`pooling_param`, all but `pool`), padding and what lies beyond it
    counting as zeros; `p` is at least 1 and 2 by default.  dy/dx = sign(x)·|x|ᵖ⁻¹·y¹⁻ᵖ, and 0 where y is 0.

    The original has no such layer.  Sources: Sermanet, Chintala and LeCun, "Convolutional neural networks applied to
    house numbers digit classification", 2012; Torch's SpatialLPPooling, which takes x for |x|.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 8 dim: 24 dim: 24 } } }
    layer {
      name: "pool" type: "LpPooling" bottom: "x" top: "y"  # 4×8×12×12
      pooling_param { kernel_size: 2 stride: 2 p: 2 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.p = self.settings("pooling_param").p
        self.require(1 <= self.p < math.inf, "pooling_param.p", "must be at least 1, and finite")
        super().setup(bottoms)

    def warnings(self) -> Sequence[Fault]:
        return self.without_effect("pooling_param.pool", "it belongs to the layer type Pooling")

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        return (ops.pooling.norm_pool(bottoms[0], self.grid(bottoms[0].shape[2:]), self.p),)
