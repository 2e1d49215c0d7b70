"""LSTMUnit: one step of an LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit.base import Layer, Shape, exactly, layer

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run


@layer("LSTMUnit")
class LSTMUnit(Layer):
    """What follows the matrix products in a step of an LSTM; LSTM does without it, and so it is seldom written.

    Bottoms: c of the step before, 1×N×D; the gates (i, f, o, g) before activation, 1×N×4D; cont, 1×N.  Tops, both
    1×N×D: c = cont·σ(f)·(c of the step before) + σ(i)·tanh(g), and h = σ(o)·tanh(c).  cont gets no gradient; with a
    cont of neither 0 nor 1 the slope of σ(f) is taken where f is already multiplied by it.

    Source: `src/caffe/layers/lstm_unit_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "c" top: "gates" top: "cont"
      input_param { shape { dim: 1 dim: 4 dim: 30 } shape { dim: 1 dim: 4 dim: 120 } shape { dim: 1 dim: 4 } }
    }
    layer {
      name: "unit" type: "LSTMUnit" bottom: "c" bottom: "gates" bottom: "cont"
      top: "c_next" top: "h_next"
    }
    """

    bottoms, tops = exactly(3), exactly(2)
    ungraded = frozenset({2})

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        before, gates, cont = bottoms
        right = len(before) == 3 and before[0] == 1
        self.expect(right, f"needs c of the step before as 1×sequences×values, got {before}", "bottom[0]")
        if right:
            needed = (1, before[1], 4 * before[2])
            self.expect(gates == needed, f"needs the gates i, f, o, g as {needed}, got {gates}", "bottom[1]")
            self.expect(cont == before[:2], f"needs cont as {before[:2]}, got {cont}", "bottom[2]")
        return [before, before]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        c_and_h: tuple[torch.Tensor, torch.Tensor] = ops.recurrent.lstm_unit(*bottoms)
        return c_and_h
