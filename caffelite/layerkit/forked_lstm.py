"""Lstm, the LSTM of forks: three weights, no expose_hidden, and gradients that may be clipped.

Source: src/caffe/layers/lstm_layer.cpp of junhyukoh/caffe-lstm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from .base import Shape, between, exactly, torch
from .recurrent import Recurrent
from .weights import filled

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run


class ForkedLstm(Recurrent):
    """Base of these types: (x[, cont]) → h.  A type says how steps and sequences lie in its bottom (`layout`)."""

    bottoms, tops = between(1, 2), exactly(1)
    states = ("h", "c")
    gates = 4
    exposed = False
    elsewhere: ClassVar[str]
    """What the other fork's type takes, for messages."""

    def layout(self, x: Shape) -> tuple[int, int, int, Shape]:
        """How many steps, sequences, and values of each step x has, and the axes of the top before num_output; notes a
        fault where x has no such layout."""
        raise NotImplementedError

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("lstm_param")
        self.outputs, self.bound = settings.num_output, float(settings.clipping_threshold)
        self.require(self.outputs > 0, "lstm_param.num_output", "must be positive")
        self.require(self.bound >= 0, "lstm_param.clipping_threshold", "must not be negative")
        inputs = self.layout(bottoms[0])[2]
        self.raise_faults()
        rows = 4 * self.outputs
        of_x = replace(filled(self, (rows, inputs), "lstm_param.weight_filler"), name="weight_x")
        of_h = replace(of_x, shape=(rows, self.outputs), name="weight_h")
        self.weights = [of_x, of_h, filled(self, (rows,), "lstm_param.bias_filler")]
        self._state = None

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        steps, count, inputs, lead = self.layout(bottoms[0])
        self.raise_faults()
        needed = self.weights[0].shape[1]
        self.expect(
            inputs == needed, f"the weights are for {needed} values a step, {bottoms[0]} has {inputs}", "bottom"
        )
        if len(bottoms) > 1:
            one = f"needs one number for each of {steps}×{count} steps, got {bottoms[1]}"
            self.expect(math.prod(bottoms[1]) == steps * count, one, "bottom[1]", self.elsewhere)
        return [(*lead, self.outputs)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        steps, count, inputs, lead = self.layout(tuple(bottoms[0].shape))
        x = bottoms[0].reshape(steps, count, inputs)
        of_x, of_h, bias = weights
        if len(bottoms) > 1:
            cont, starts = bottoms[1].detach().reshape(steps, count).ne(0).to(x.dtype), self._carried(x)
        else:
            cont, starts = (
                torch.ones(steps, count, dtype=x.dtype, device=x.device),
                [x.new_zeros(count, self.outputs)] * 2,
            )
        at_gates = torch.nn.functional.linear(x, of_x, bias)
        h, c = ops.recurrent.lstm(at_gates, of_h, cont, *starts, self.bound)
        if len(bottoms) > 1:
            self._carry([h[-1].detach().clone(), c[-1].detach().clone()])
        return (h.reshape(*lead, self.outputs).clone(),)

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        steps, count, inputs, _ = self.layout(bottoms[0])
        return steps * count * 4 * self.outputs * (inputs + self.outputs)
