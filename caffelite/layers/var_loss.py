"""VarLoss: how far the features of a class are spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, layer
from ..layerkit.classes import ByClasses

if TYPE_CHECKING:
    from torch import Tensor


@layer("VarLoss")
class VarLoss(ByClasses):
    """Σ |x − m|² / 2N over N samples, 0-d, m being the mean of the x of its class in the batch.

    Bottoms: features, N×…, and N labels; samples come class by class, as many of each.  The features get (x − m)/N,
    times the loss weight.

    Source: `src/caffe/layers/var_loss_layer.cpp` of liu-xb/GGL.

    Raises:
        LayerError: in `forward`, where not every class can have as many samples as the first one.
    """

    fork: ClassVar[str] = "liu-xb/GGL"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 8 dim: 128 } } }
    layer {
      name: "label" type: "DummyData" top: "label"
      dummy_data_param { shape { dim: 8 } data_filler { type: "constant" value: 3 } }
    }
    layer { name: "loss" type: "VarLoss" bottom: "x" bottom: "label" top: "loss" }
    """

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        groups = self.classes(bottoms)
        return ((groups - groups.mean(1, keepdim=True)).square().sum() / (2 * len(bottoms[0])),)
