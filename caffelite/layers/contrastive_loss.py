"""ContrastiveLoss: the loss of siamese nets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, Shape, between, layer
from ..layerkit.losses import LossLayer

if TYPE_CHECKING:
    from torch import Tensor


@layer("ContrastiveLoss")
class ContrastiveLoss(LossLayer):
    """Σ (d² for a similar pair, max(margin − d, 0)² for another) / 2N over N pairs, d = |a − b|; 0-d.

    Bottoms: a and b, N×C (ones may follow), and N labels, of which 0 means not similar; a fraction is cut off.  With
    `legacy_version` a pair that is not similar costs max(margin − d², 0).  a and b get a gradient.  A fourth bottom is
    happynear/caffe-windows's: N labels of a and N of b, and pairs of one label are similar.

    Sources: `src/caffe/layers/contrastive_loss_layer.cpp`, that of happynear/caffe-windows; Hadsell, Chopra and LeCun,
    2006.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "a" top: "b" top: "similar"
      input_param { shape { dim: 64 dim: 2 } shape { dim: 64 dim: 2 } shape { dim: 64 } }
    }
    layer {
      name: "loss" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "similar" top: "loss"
      contrastive_loss_param { margin: 1 }
    }
    """

    bottoms = between(3, 4)
    ungraded = passed_over = frozenset({2, 3})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("contrastive_loss_param")
        self.margin, self.legacy = float(settings.margin), bool(settings.legacy_version)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        a, b, *labels = bottoms
        tops = self.top_shapes(bottoms)
        self.raise_faults()
        for position, shape in enumerate((a, b)):
            flat = f"needs vectors, N×C (ones may follow), got shape {shape}"
            self.expect(set(shape[2:]) <= {1}, flat, f"bottom[{position}]")
        self.expect(
            math.prod(a[1:]) == math.prod(b[1:]),
            f"its first two bottoms must have vectors of one length, got shapes {a} and {b}",
            "bottom",
        )
        for position, shape in enumerate(labels, 2):
            self.expect(
                shape[:1] == a[:1] and math.prod(shape) == a[0],
                f"needs one label per pair: {a[0]}, got {math.prod(shape)} labels of shape {shape}",
                f"bottom[{position}]",
            )
        self.vectors = (a[0], math.prod(a[1:]))
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        a, b = (bottom.reshape(self.vectors) for bottom in bottoms[:2])
        first, *second = (labels.detach().reshape(-1).trunc() for labels in bottoms[2:])
        similar = first == second[0] if second else first != 0
        return (ops.losses.contrastive_loss(a, b, similar, self.margin, self.legacy),)
