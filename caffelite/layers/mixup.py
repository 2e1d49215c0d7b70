"""Mixup: samples mixed with others of their batch, and their labels likewise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.base import torch
from ..layerkit.losses import class_labels

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "mixup_param"


@layer("Mixup")
class Mixup(Layer):
    """λ·x + (1 − λ)·x′, where x′ is the same samples in another order, and labels mixed likewise: N×… and N×cls_num.

    Bottoms: x, N×…, and N labels, each a class, or N×classes with the share of each.  One λ for the batch is drawn from
    the beta distribution of alpha and alpha, and one order, in TRAIN and in TEST alike.  Nothing gets a gradient.

    The draws depend on (seed, layer, position).

    Source: `mixup_layer.cpp` of Wheatly2/Bag-of-Tricks-for-Image-Classification; Zhang, Cisse, Dauphin and Lopez-Paz,
    2018.

    Raises:
        LayerError: in `forward`, where a label is no class.
    """

    fork: ClassVar[str] = "Wheatly2/Bag-of-Tricks-for-Image-Classification"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "label"
      input_param { shape { dim: 64 dim: 3 dim: 32 dim: 32 } shape { dim: 64 } }
    }
    layer {
      name: "mixup" type: "Mixup" bottom: "x" bottom: "label"
      top: "mixed" top: "shares"  # 64×3×32×32, 64×10
      mixup_param { alpha: 0.2 cls_num: 10 }
    }
    """

    bottoms, tops = exactly(2), exactly(2)
    ungraded = passed_over = frozenset({0, 1})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.shared = len(bottoms[1]) == 2
        self.classes = bottoms[1][1] if self.shared else int(self.settings(_FIELD).cls_num)
        self.require(self.settings(_FIELD).alpha > 0, f"{_FIELD}.alpha", "must be positive")
        few = f"needs at least 2 classes, got {self.classes}"
        self.expect(self.classes > 1, few, "bottom[1]" if self.shared else f"{_FIELD}.cls_num")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, labels = bottoms
        wanted = (x[0], self.classes) if self.shared else (x[0],)
        shape = labels if self.shared else tuple(size for size in labels if size != 1) or (1,)
        each = (
            f"needs {'shares' if self.shared else 'one label'} for each of {x[0]} samples, got labels of shape {labels}"
        )
        self.expect(shape == wanted, each, "bottom[1]")
        return [x, (x[0], self.classes)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, labels = (bottom.detach() for bottom in bottoms)
        chance, alpha = run.numpy_generator(self.name), float(self.settings(_FIELD).alpha)
        order = torch.from_numpy(chance.permutation(len(x))).to(x.device)
        share = float(chance.beta(alpha, alpha))
        if not self.shared:
            indices, sound = class_labels(self, labels, (len(x),), self.classes, None)
            labels = torch.nn.functional.one_hot(indices, self.classes).to(x.dtype)
            labels = labels if sound is None else labels * sound.unsqueeze(1)
        return tuple(share * rows + (1 - share) * rows[order] for rows in (x, labels))
