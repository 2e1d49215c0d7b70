"""SetLoss2: classes that lie too near to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import LayerError
from ..layerkit import Run, layer
from ..layerkit.classes import ByClasses

if TYPE_CHECKING:
    from torch import Tensor


@layer("SetLoss2")
class SetLoss2(ByClasses):
    """The mean over all pairs of C classes of max(alpha − ¼·|m − m′|², 0), 0-d, m and m′ being the means of their
    samples in the batch.

    Bottoms: features, N×…, and N labels; samples come class by class, as many of each, of two classes or more.  A
    sample of a class with n samples gets Σ (m′ − m) / (C·(C − 1)·n) over the classes m′ that are too near, times the
    loss weight.

    Source: `src/caffe/layers/set_loss2_layer.cpp` of liu-xb/GGL.

    Raises:
        LayerError: in `forward`, where there is only one class, or not every class can have as many samples as the
        first.
    """

    fork: ClassVar[str] = "liu-xb/GGL"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "label"
      input_param { shape { dim: 8 dim: 4 } shape { dim: 8 } }
    }
    layer {
      name: "loss" type: "SetLoss2" bottom: "x" bottom: "label" top: "loss"
      set_loss2_param { alpha: 0.4 }
    }
    """

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        means = self.classes(bottoms).mean(1)
        if len(means) < 2:
            message = "there is only one class in the batch: needs two, to keep them apart"
            raise LayerError(self.fault(message, "bottom[1]", "samples come class by class, as many of each"))
        return (ops.distances.too_near(means, self.settings("set_loss2_param").alpha),)
