"""What the two losses of bounding boxes share: the sum of differences that count as squares while they are small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import Fault
from .base import Layer, Shape, between, torch
from .regions import legacy, same_legacy

if TYPE_CHECKING:
    from torch import Tensor


class SmoothL1(Layer):
    """Base of losses Σ w′·s(w·(a − b)) / divisor of predictions a and targets b; s(d) is σ²·d²/2 where |d| < 1/σ², and
    |d| − 1/(2σ²) elsewhere.

    Bottoms: a, b, and if wanted w and w′, all N×C×H×W or N×C.  Tops: the loss, 0-d, and if wanted the sum of each
    place's terms, N×1×H×W, without a gradient.  a and b get a gradient, the weights none.

    Attributes:
        sigma: σ.
        divisor: what the sum is divided by.
    """

    tops = between(1, 2)
    loss = True
    ungraded = passed_over = frozenset({2, 3})
    sigma = 1.0
    divisor = 1.0

    def warnings(self) -> list[Fault]:
        given = [name for name in ("weight_by_label_freqs", "class_weighting") if getattr(self.param.loss_param, name)]
        why, help = "has no effect: this loss does not weigh classes", "leave it out"
        return [self.fault(f"{name} {why}", f"loss_param.{name}", help, "warning") for name in given]

    def divided_by(self, samples: int, places: int) -> float:
        """What the sum of the terms is divided by, for `samples` of so many `places`, H·W."""
        raise NotImplementedError

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.expect(1 <= len(bottoms[0]) <= 4, f"needs bottoms of 1 to 4 axes, got shape {bottoms[0]}", "bottom[0]")
        self.raise_faults()
        same_legacy(self, bottoms, range(1, len(bottoms)))
        samples, _, *places = legacy(bottoms[0])
        self.divisor = self.divided_by(samples, places[0] * places[1])
        return [(), (samples, 1, *places)][: max(1, len(self.param.top))]

    def computed(self, bottoms: Sequence[Tensor]) -> Sequence[Tensor]:
        """The tops."""
        predicted, target, *weights = (bottom.reshape(bottoms[0].shape) for bottom in bottoms)
        difference, squared = predicted - target, self.sigma**2
        if weights:
            difference = difference * weights[0].detach()
        size = difference.abs()
        terms = torch.where(size < 1 / squared, difference.square() * (0.5 * squared), size - 0.5 / squared)
        if len(weights) > 1:
            terms = terms * weights[1].detach()
        loss = terms.sum() / self.divisor
        if len(self.param.top) < 2:
            return (loss,)
        return loss, terms.detach().reshape(legacy(tuple(terms.shape))).sum(1, keepdim=True)
