"""LocalContrastNormalization: subtractive and divisive.  A caffelite extension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..errors import Fault
from ..layerkit.base import Layer, Shape, layer
from ..layerkit.pooling import image_of
from ..proto import LocalContrastNormalizationParameter, LRNParameter

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run

FIELD = "local_contrast_normalization_param"


@layer("LocalContrastNormalization")
class LocalContrastNormalization(Layer):
    """Takes the mean of the surroundings away, and divides by how much they vary.  N×C×H×W → the same.

    SUBTRACTIVE: v = x − Σ w·x.  DIVISIVE: y = v / max(σ, c), σ = max(√(Σ w·v²), threshold), and c the mean of σ over
    the image (`mean_floor: false`: 0).  BOTH: one after the other.  The sums go over local_size × local_size positions
    around, and over all channels (ACROSS_CHANNELS: one mean and one divisor for all of them) or one
    (WITHIN_CHANNEL).  The weights w, GAUSSIAN or UNIFORM, add up to 1 over the positions inside the image, so the
    border is no darker than the rest.

    The original has no such layer.  Sources: Jarrett, Kavukcuoglu, Ranzato and LeCun, "What is the best multi-stage
    architecture for object recognition?", 2009 (w of 9×9; c is in the paper, the threshold is not); Torch's
    SpatialContrastiveNormalization is `mean_floor: false`, but for the border, where it corrects σ after the root.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 32 dim: 32 } } }
    layer {
      name: "lcn" type: "LocalContrastNormalization" bottom: "x" top: "y"
      local_contrast_normalization_param { local_size: 9 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(FIELD)
        self.size, self.operation = settings.local_size, settings.operation
        self.threshold, self.mean_floor = settings.threshold, settings.mean_floor
        self.across = settings.norm_region == LRNParameter.ACROSS_CHANNELS
        self.gaussian = settings.window == LocalContrastNormalizationParameter.GAUSSIAN
        self.sigma = settings.sigma if settings.HasField("sigma") else self.size / 4
        self.require(self.size % 2 == 1, f"{FIELD}.local_size", "must be odd", "so that a pixel is in the middle")
        self.require(1e-15 <= self.threshold < math.inf, f"{FIELD}.threshold", "must be at least 1e-15")
        if settings.HasField("sigma"):
            self.require(0 < self.sigma < math.inf, f"{FIELD}.sigma", "must be positive")

    def warnings(self) -> Sequence[Fault]:
        uniform = self.settings(FIELD).window == LocalContrastNormalizationParameter.UNIFORM
        return self.without_effect(f"{FIELD}.sigma", "it is for window: GAUSSIAN") if uniform else []

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image_of(self, bottoms[0])
        return [bottoms[0]]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        contrast, y = ops.contrast, bottoms[0]
        window = contrast.gaussian(self.size, self.sigma) if self.gaussian else contrast.uniform(self.size)
        mean = contrast.mean_around(window, self.across)
        if self.operation != LocalContrastNormalizationParameter.DIVISIVE:
            y = contrast.subtract_mean(y, mean)
        if self.operation != LocalContrastNormalizationParameter.SUBTRACTIVE:
            y = contrast.divide_by_deviation(y, mean, self.threshold, self.mean_floor)
        return (y,)
