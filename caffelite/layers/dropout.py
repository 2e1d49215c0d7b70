"""Dropout: leave elements out at random while training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.kernels.dropped import DropoutKernel
from ..layerkit.neuron import Neuron
from ..proto import TRAIN

if TYPE_CHECKING:
    from torch import Tensor

    from ..layerkit.kernels import Kernel


@layer("Dropout")
class Dropout(Neuron):
    """TRAIN: each element is 0 with probability dropout_ratio, else multiplied by 1/(1 − dropout_ratio).  TEST: y = x.

    With `scale_train: false` (of rbgirshick/caffe-fast-rcnn) what is kept in TRAIN is left as it is, and TEST is
    y = (1 − dropout_ratio)·x.

    With `sample_weights_test: true` (of alexgkendall/caffe-segnet) TEST is as TRAIN.

    The draw depends on (seed, layer, position) and the shape, not on the memory format.  May work in place.

    Source: `src/caffe/layers/dropout_layer.cpp`; Srivastava et al., "Dropout", JMLR 15, 2014.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 500 } } }
    layer { name: "drop" type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.5 } }
    """

    rounding = "as it comes"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("dropout_param")
        ratio = float(settings.dropout_ratio)
        if self.require(0 <= ratio < 1, "dropout_param.dropout_ratio", "must be at least 0 and below 1"):
            self.keep = 1 - ratio
            self.scales = (1 / self.keep, 1.0) if settings.scale_train else (1.0, self.keep)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0]
        if not self._drops:
            return (x if self.scales[1] == 1 else x * self.scales[1],)
        return (x * self._mask(run, x.shape).to(x.dtype),)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self._shape = bottoms[0]
        return super().shapes(bottoms)

    @property
    def _drops(self) -> bool:
        return self.phase == TRAIN or bool(self.settings("dropout_param").sample_weights_test)

    def _mask(self, run: Run, shape: Shape) -> Tensor:
        """What a bottom of this shape is multiplied by: 0, or the scale of what is kept."""
        mask = torch.empty(shape, device=run.device)
        return mask.uniform_(generator=run.generator(self.name)).lt_(self.keep).mul_(self.scales[0])

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        return DropoutKernel(wants, learns, partial(self._mask, shape=self._shape)) if self._drops else None
