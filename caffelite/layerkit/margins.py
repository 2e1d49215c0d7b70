"""Fully connected layers that ask for a margin between angles: MarginInnerProduct and LargeMarginInnerProduct."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .base import Layer, Shape, between, exactly
from .losses import class_labels, expect_label_each
from .weights import filled

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run


class Margin(Layer):
    """Base of these types: (x, labels) → M×num_output and optionally λ (1), x being everything from axis 1 on.

    A type computes with a margin (`apply`).

    Attributes:
        field: the message of its settings.
        times: by how much the angle to a sample's class is multiplied.
    """

    bottoms, tops = exactly(2), between(1, 2)
    ungraded = frozenset({1})
    field: ClassVar[str]

    def apply(self, x: Tensor, weight: Tensor, indices: Tensor, mix: float) -> Tensor:
        """The products of x, M×K, and weight, N×K, with a margin for the classes, indices, of the samples."""
        raise NotImplementedError

    def prepare(self, weight: Tensor) -> None:
        """Change the weight before each forward."""

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, shape = self.settings(self.field), bottoms[0]
        self.require(settings.num_output > 0, f"{self.field}.num_output", "must be positive")
        first = self.axis(settings.axis, len(shape), f"{self.field}.axis")
        self.require(first == 1, f"{self.field}.axis", "must be 1, as axis 0 counts the samples")
        self.raise_faults()
        self.classes, self.times = settings.num_output, settings.type + 1
        self.weights = [filled(self, (self.classes, math.prod(shape[1:])), f"{self.field}.weight_filler")]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, labels = bottoms
        values, needed = math.prod(x[1:]), self.weights[0].shape[1]
        self.expect(values == needed, f"the weights are for {needed} values, a sample of {x} has {values}", "bottom[0]")
        expect_label_each(self, labels, x[0])
        return [(x[0], self.classes), (1,)][: len(self.param.top)]

    def mix(self, position: int) -> float:
        """λ in the forward with this many before it."""
        settings = self.settings(self.field)
        iteration = settings.iteration + position + 1
        falling = settings.base * (1 + settings.gamma * iteration) ** -settings.power
        return float(max(falling, settings.lambda_min))

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, weight, mix = bottoms[0].flatten(1), weights[0], self.mix(run.position)
        self.prepare(weight.detach())
        indices, sound = class_labels(self, bottoms[1], (len(x),), self.classes, None)
        y = x @ weight.t() if self.times == 1 else self.apply(x, weight, indices, mix)
        if sound is not None:
            y = y * sound.unsqueeze(1)
        return (y, x.new_full((1,), mix))[: len(self.param.top)]

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * self.weights[0].shape[1]
