"""SeLuDropout: dropout that keeps mean and variance behind SeLu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.neuron import Neuron
from ..proto import TRAIN

if TYPE_CHECKING:
    from torch import Tensor


@layer("SeLuDropout")
class SeLuDropout(Neuron):
    """TRAIN: each element is a·alpha + b with probability dropout_ratio, else a·x + b.  TEST: y = x.

    With q = 1 − dropout_ratio, a = (q·(1 + alpha²·(1 − q)))^−½ and b = −a·(1 − q)·alpha bring a mean of 0 and a
    variance of 1 back.  The draw depends on (seed, layer, position) and the shape.  May work in place.

    Source: `src/caffe/layers/selu_dropout_layer.cpp` of fireae/caffe_latte; Klambauer, Unterthiner, Mayr and
    Hochreiter, "Self-normalizing neural networks", 2017.
    """

    fork: ClassVar[str] = "soeaver/caffe-model, fireae/caffe_latte"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "drop" type: "SeLuDropout" bottom: "x" top: "y" selu_dropout_param { dropout_ratio: 0.1 } }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("selu_dropout_param")
        ratio, self.alpha = float(settings.dropout_ratio), float(settings.alpha)
        if self.require(0 < ratio < 1, "selu_dropout_param.dropout_ratio", "must be above 0 and below 1"):
            self.keep = 1 - ratio
            self.factor = (self.keep * (1 + self.alpha**2 * ratio)) ** -0.5
            self.offset = -self.factor * ratio * self.alpha

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0]
        if self.phase != TRAIN:
            return (x,)
        drawn = torch.empty(x.shape, dtype=x.dtype, device=x.device).uniform_(generator=run.generator(self.name))
        return (torch.where(drawn < self.keep, x, self.alpha) * self.factor + self.offset,)
