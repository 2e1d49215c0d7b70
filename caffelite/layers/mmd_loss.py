"""MMDLoss: how far apart the distributions of two sets of features are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.losses import LossLayer, expect_as_many

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "mmd_param"


@layer("MMDLoss")
class MMDLoss(LossLayer):
    """Σ k(s, s′) + k(t, t′) − k(s, t′) − k(s′, t), 0-d, over as many draws of two samples of each set, s ≠ s′ of the
    first bottom and t ≠ t′ of the second, as the larger of them has samples: an estimate of the squared maximum mean
    discrepancy, times that number.  The gradient is that of the mean.

    k(a, b) = Σ exp(−γ_j·|a − b|²) over `kernel_num` kernels; γ_j = γ·kernel_mul^(j − ⌊kernel_num/2⌋), j from 0 on, and
    1/γ is the mean squared distance of two samples, of both sets together; with `fix_gamma`, that of the first batch.
    γ has no gradient.  Bottoms: source M×… and target N×…, with as many numbers per sample, at least 2 samples each.

    The draws depend on (seed, layer, position), and the gradient is of the same draws (there, of others).

    Source: `src/caffe/layers/mmd_layer.cu` of thuml/transfer-caffe; Long, Cao, Wang and Jordan, "Learning transferable
    features with deep adaptation networks", 2015.
    """

    fork: ClassVar[str] = "thuml/transfer-caffe"
    example = """
    layer {
      name: "in" type: "Input" top: "source" top: "target"
      input_param { shape { dim: 64 dim: 256 } shape { dim: 32 dim: 256 } }
    }
    layer {
      name: "mmd" type: "MMDLoss" bottom: "source" bottom: "target" top: "mmd" loss_weight: 0.3
      mmd_param { kernel_num: 5 kernel_mul: 2 }
    }
    """

    ungraded = frozenset()
    remembers = ("gamma",)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(_FIELD)
        self.gamma: float | None = None
        self.require(settings.kernel_num > 0, f"{_FIELD}.kernel_num", "must be positive")
        self.require(settings.kernel_mul > 0, f"{_FIELD}.kernel_mul", "must be positive")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        for position, shape in enumerate(bottoms):
            two = f"needs at least 2 samples, got shape {shape}"
            self.expect(len(shape) > 0 and shape[0] > 1, two, f"bottom[{position}]")
        expect_as_many(self, *bottoms)
        return [()]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        source, target = (bottom.reshape(len(bottom), -1) for bottom in bottoms)
        settings = self.settings(_FIELD)
        if self.gamma is None or not settings.fix_gamma:
            self.gamma = ops.distances.inverse_mean_square(torch.cat([source.detach(), target.detach()]))
        gammas = [
            self.gamma * settings.kernel_mul ** (j - settings.kernel_num // 2) for j in range(settings.kernel_num)
        ]
        chance = run.numpy_generator(self.name)
        draws = max(len(source), len(target))
        pairs = [torch.from_numpy(ops.distances.pairs(chance, len(x), draws)).to(x.device) for x in (source, target)]
        return (ops.distances.mean_discrepancy(source, target, pairs[0], pairs[1], gammas),)
