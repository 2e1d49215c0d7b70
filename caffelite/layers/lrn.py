"""LRN: local response normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit.base import Layer, Shape, layer
from ..layerkit.kernels.by_function import FunctionKernel
from ..layerkit.pooling import image_of
from ..proto import LRNParameter

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run
    from ..layerkit.kernels import Kernel


@layer("LRN")
class LRN(Layer):
    """Every value divided by a power of the energy around it.  N×C×H×W → the same.

    ACROSS_CHANNELS: y = x · (k + (α / local_size) · Σ x²)^−β, the sum over local_size channels around, those that do
    not exist being zeros.  WITHIN_CHANNEL: y = x · (1 + α · mean x²)^−β, the mean over local_size × local_size
    positions around, zeros beyond the image counted; `k` has no effect.  α is divided by the number of summands in
    both (many papers' α is not).

    Source: `src/caffe/layers/lrn_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 16 dim: 12 dim: 12 } } }
    layer {
      name: "norm" type: "LRN" bottom: "x" top: "y"
      lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("lrn_param")
        self.size, self.alpha, self.beta, self.k = settings.local_size, settings.alpha, settings.beta, settings.k
        self.across = settings.norm_region == LRNParameter.ACROSS_CHANNELS
        odd = "so that as many neighbours lie on either side"
        self.require(self.size % 2 == 1, "lrn_param.local_size", "must be odd", odd)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image_of(self, bottoms[0])
        return [bottoms[0]]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        if self.across:
            return (ops.lrn.across_channels(bottoms[0], self.size, self.alpha, self.beta, self.k),)
        return (ops.lrn.within_channel(bottoms[0], self.size, self.alpha, self.beta),)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        if not self.across:
            return None
        settings = self.size, self.alpha, self.beta, self.k
        return FunctionKernel(wants, learns, ops.lrn.AcrossChannels, settings)
