"""What the two losses of a softmax share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from .base import Shape, between, exactly
from .kernels.softmax_loss import PlainSoftmaxLossKernel, SoftmaxLossKernel
from .losses import VALID, ClassLoss, divisor, ignored, normalization, split_at
from .run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from .kernels import Kernel


class SoftmaxLoss(ClassLoss):
    """Base of −Σ w·log p[label] / normaliser, 0-d, p being the softmax of the scores along `softmax_param { axis }`.

    A second top holds p, a third one, of the labels' shape, −w·log p[label]; no gradient comes back through them.
    """

    activation = "Softmax"
    bottoms, tops = exactly(2), between(1, 3)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.ignore, self.mode = ignored(self.settings("loss_param")), normalization(self, VALID)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, labels = bottoms
        self.top_shapes(bottoms)
        self.index = self.axis(self.settings("softmax_param").axis, len(scores), "softmax_param.axis")
        outer, inner = split_at(self, scores, labels, self.index)
        self.label_shape = scores[: self.index] + scores[self.index + 1 :]
        self.expect_classes(scores[self.index])
        self.divisor = divisor(self, self.mode, outer, inner, self.ignore)
        return [(), scores, labels][: max(1, len(self.param.top))]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores, labels = bottoms
        indices, counted, by = self.weighed_labels(labels, self.label_shape, self.divisor)
        loss = ops.losses.softmax_loss(scores, indices, counted, self.index, by)
        if len(self.param.top) < 2:
            return (loss,)
        prob = scores.detach().softmax(self.index)
        if len(self.param.top) < 3:
            return loss, prob
        each = -prob.gather(self.index, indices.unsqueeze(self.index)).clamp(min=ops.losses.SMALLEST).log()
        if counted is not None:
            each = each * counted.unsqueeze(self.index)
        return loss, prob, each.reshape(labels.shape)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        if len(self.param.top) > 1:
            return None
        on_cpu = run.device.type == "cpu"
        if on_cpu and self.ignore is None and not self.weighted and self.divisor is not None:
            return PlainSoftmaxLossKernel(wants, learns, self, self.divisor)
        return SoftmaxLossKernel(wants, learns, self, on_cpu=on_cpu)
