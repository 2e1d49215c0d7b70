"""Lstm as junhyukoh/caffe-lstm means it: steps and sequences on one axis."""

from __future__ import annotations

import math
from typing import ClassVar

from ..layerkit.base import Shape, layer
from ..layerkit.forked_lstm import ForkedLstm


@layer("Lstm", dialect="junhyukoh")
class LstmJunhyukoh(ForkedLstm):
    """A long short-term memory, without peepholes: (i, f, o, g) = W_x·x + b + W_h·(h of the step before),
    c = σ(f)·(c of the step before) + σ(i)·tanh(g), h = σ(o)·tanh(c).

    Bottoms: x, (T·N)×…, T steps of N sequences (`batch_size`) side by side, and optionally T·N numbers, 0 where a
    sequence begins and its h and c count as 0.  With these, h and c carry on from the last forward; without, each
    forward begins anew.  Top: h, (T·N)×num_output.  Weights, D being num_output: W_x 4D×…, W_h 4D×D, b 4D.

    Gradients end at the first step; before they go on from the gates, they are clipped to ±clipping_threshold.  The
    fork's gradient of W_h counts steps where a sequence begins as if it went on; here it does not.
    For several sequences the fork's CPU code takes W_h·h of the first for all of them, and CPU and GPU look the numbers
    of step t up at t instead of t·N; here each sequence has its own, as the GPU code has it for h.

    Source: `src/caffe/layers/lstm_layer.cpp` of junhyukoh/caffe-lstm.
    """

    fork: ClassVar[str] = "junhyukoh/caffe-lstm"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "cont"  # 20 steps of 4 sequences
      input_param { shape { dim: 80 dim: 50 } shape { dim: 80 } }
    }
    layer {
      name: "lstm" type: "Lstm" bottom: "x" bottom: "cont" top: "h"  # 80×30
      lstm_param { num_output: 30 batch_size: 4 weight_filler { type: "gaussian" std: 0.1 } }
    }
    """

    elsewhere = 'dialect: "CTPN" takes steps and sequences on two axes'

    def layout(self, x: Shape) -> tuple[int, int, int, Shape]:
        count, total = self.settings("lstm_param").batch_size, x[0] if x else 0
        if not self.require(count > 0, "lstm_param.batch_size", "must be positive"):
            self.raise_faults()
        whole = total > 0 and total % count == 0
        rule = f"needs x of (steps·sequences)×values with a multiple of batch_size, {count}, got {x}"
        self.expect(whole, rule, "bottom[0]", self.elsewhere)
        return total // count, count, math.prod(x[1:]), (total,)
