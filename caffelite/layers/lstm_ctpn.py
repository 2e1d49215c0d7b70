"""Lstm as CTPN means it: steps and sequences on two axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from ..errors import Fault
from ..layerkit.base import Shape, layer
from ..layerkit.forked_lstm import ForkedLstm


@layer("Lstm", dialect="CTPN")
class LstmCTPN(ForkedLstm):
    """A long short-term memory, without peepholes: (i, f, o, g) = W_x·x + b + W_h·(h of the step before),
    c = σ(f)·(c of the step before) + σ(i)·tanh(g), h = σ(o)·tanh(c).

    Bottoms: x, T×N×…, T steps of N sequences, and optionally T×N numbers, 0 where a sequence begins and its h and c
    count as 0.  With these, h and c carry on from the last forward; without, each forward begins anew.  Top: h,
    T×N×num_output.  Weights, D being num_output: W_x 4D×…, W_h 4D×D, b 4D.

    Gradients end at the first step; before they go on from the gates, they are clipped to ±clipping_threshold.  The
    fork's gradient of W_h counts steps where a sequence begins as if it went on; here it does not.
    For several sequences the fork's CPU code takes W_h·h of the first for all of them, and it takes the second bottom
    for one sequence only; here each sequence has its own, as the GPU code has it for h.

    Source: `caffe/src/caffe/layers/lstm_layer.cpp` of tianzhi0549/CTPN.
    """

    fork: ClassVar[str] = "tianzhi0549/CTPN"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 20 dim: 4 dim: 50 } } }
    layer {
      name: "lstm" type: "Lstm" bottom: "x" top: "h"  # 20×4×30
      lstm_param { num_output: 30 clipping_threshold: 1 weight_filler { type: "gaussian" std: 0.1 } }
    }
    """

    elsewhere = 'dialect: "junhyukoh" takes steps and sequences together on one axis'

    def warnings(self) -> Sequence[Fault]:
        return self.without_effect("lstm_param.batch_size", "the second axis of x counts the sequences")

    def layout(self, x: Shape) -> tuple[int, int, int, Shape]:
        fits, told = len(x) >= 3 and x[0] > 0, f"needs x of steps×sequences×values, got {x}"
        if not self.expect(fits, told, "bottom[0]", self.elsewhere):
            self.raise_faults()
        return x[0], x[1], math.prod(x[2:]), x[:2]
