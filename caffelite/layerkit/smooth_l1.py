"""What the two losses of bounding boxes share: the sum of differences that count as squares while they are small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .base import Shape, between, torch
from .losses import LossLayer, divisor, normalization
from .regions import legacy, same_legacy

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run


class SmoothL1(LossLayer):
    """Base of losses Σ w′·s(w·(a − b)) / divisor of predictions a and targets b; s(d) is σ²·d²/2 where |d| < 1/σ², and
    |d| − 1/(2σ²) elsewhere.

    Bottoms: a, b, and if wanted w and w′, all N×C×H×W or N×C.  Tops: the loss, 0-d, and if wanted the sum of each
    place's terms, N×1×H×W, without a gradient.  a and b get a gradient, the weights none.

    Attributes:
        sigma: σ.
        unless_told: the mode of normalization where `loss_param` says nothing.
    """

    tops = between(1, 2)
    ungraded = passed_over = frozenset({2, 3})
    sigma = 1.0
    unless_told: ClassVar[int]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.expect(1 <= len(bottoms[0]) <= 4, f"needs bottoms of 1 to 4 axes, got shape {bottoms[0]}", "bottom[0]")
        self.raise_faults()
        same_legacy(self, bottoms, range(1, len(bottoms)))
        samples, _, *places = legacy(bottoms[0])
        mode = normalization(self, self.unless_told)
        self.divisor = divisor(self, mode, samples, places[0] * places[1], None) or 1.0
        return [(), (samples, 1, *places)][: max(1, len(self.param.top))]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        predicted, target, *factors = (bottom.reshape(bottoms[0].shape) for bottom in bottoms)
        difference, squared = predicted - target, self.sigma**2
        if factors:
            difference = difference * factors[0].detach()
        size = difference.abs()
        terms = torch.where(size < 1 / squared, difference.square() * (0.5 * squared), size - 0.5 / squared)
        if len(factors) > 1:
            terms = terms * factors[1].detach()
        loss = terms.sum() / self.divisor
        if len(self.param.top) < 2:
            return (loss,)
        return loss, terms.detach().reshape(legacy(tuple(terms.shape))).sum(1, keepdim=True)
