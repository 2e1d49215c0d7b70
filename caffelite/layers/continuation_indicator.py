"""ContinuationIndicator: every sequence begins with its batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "continuation_indicator_param"


@layer("ContinuationIndicator")
class ContinuationIndicator(Layer):
    """0 in the first of T steps, where a sequence begins, and 1 in the others, where it goes on: T×N, T being
    `time_step` and N `batch_size`.  It is the second bottom of RNN and LSTM.

    Source: `src/caffe/layers/continuation_indicator_layer.cpp` of xmfbit/warpctc-caffe.
    """

    fork: ClassVar[str] = "xmfbit/warpctc-caffe"
    example = """
    layer {
      name: "indicator" type: "ContinuationIndicator" top: "cont"  # 15×64
      continuation_indicator_param { time_step: 15 batch_size: 64 }
    }
    """

    bottoms, tops = exactly(0), exactly(1)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        for name in ("time_step", "batch_size"):
            self.require(getattr(self.settings(_FIELD), name) > 0, f"{_FIELD}.{name}", "must be positive")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        settings = self.settings(_FIELD)
        return [(settings.time_step, settings.batch_size)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        (shape,) = self.shapes(())
        going_on = torch.ones(shape, device=run.device)
        going_on[0] = 0
        return (going_on,)
