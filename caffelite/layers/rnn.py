"""RNN: a simple recurrent net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit.base import Shape, WeightSpec, between, layer, torch
from ..layerkit.recurrent import Recurrent

if TYPE_CHECKING:
    from torch import Tensor


@layer("RNN")
class RNN(Recurrent):
    """A simple recurrent net over the steps of a sequence.

    h = tanh(W_x·x + b_h + W_static·x_static + W_h·(cont·h of the step before)), o = tanh(W_o·h + b_o).  Bottoms: x
    T×N×…, cont T×N, optionally x_static N×…, and with `expose_hidden` h before the first step, 1×N×num_output.  Tops:
    o T×N×num_output, and with `expose_hidden` the last h.  cont is 0 where a sequence begins and 1 where it goes on;
    elsewhere, h carries on from the last forward.  Weights, D being num_output: W_x D×…, b_h D, W_static D×… (with
    x_static), W_h D×D, W_o D×D, b_o D.

    Gradients end at the first step, and none goes through cont and exposed states.

    Source: `src/caffe/layers/rnn_layer.cpp`, `recurrent_layer.cpp`; Elman, "Finding structure in time", 1990.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "cont"  # 20 steps of 4 sequences
      input_param { shape { dim: 20 dim: 4 dim: 50 } shape { dim: 20 dim: 4 } }
    }
    layer {
      name: "rnn" type: "RNN" bottom: "x" bottom: "cont" top: "o"  # 20×4×30
      recurrent_param { num_output: 30 weight_filler { type: "uniform" min: -0.08 max: 0.08 } }
    }
    """

    bottoms, tops = between(2, 4), between(1, 2)
    states = ("h",)
    gates = 1

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        weight, bias, *_ = self.weights
        square = (self.outputs, self.outputs)
        self.weights += [WeightSpec(square, weight.filler, "weight_o"), replace(bias, name="bias_o")]

    def unroll(
        self, x: Tensor, static: Tensor | None, cont: Tensor, starts: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        *_, of_h, of_o, bias = weights
        inputs = self.project(x, static, weights)
        h = ops.recurrent.rnn(inputs, of_h, cont, *starts)
        before_tanh = torch.nn.functional.linear(h, of_o, bias)
        o = before_tanh.tanh()
        if self.settings("recurrent_param").debug_info:
            self._tell(inputs, cont, starts[0], of_h, (h, before_tanh, o))
        return o, (h[-1],)

    def _tell(
        self, inputs: Tensor, cont: Tensor, start: Tensor, of_h: Tensor, values: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        h, before_tanh, o = values
        with torch.no_grad():
            conted = torch.cat([start.unsqueeze(0), h[:-1]]) * cont.unsqueeze(-1)
            from_h = torch.nn.functional.linear(conted, of_h)
            steps = {
                ("h_conted_{0}", "h_conted_{0}"): conted,
                ("W_hh_h_{0}", "W_hh_h_{0}"): from_h,
                ("h_input_sum_{1}", "h_neuron_input_{1}"): inputs + from_h,
                ("h_neuron_{1}", "h_{1}"): h,
                ("W_ho_h_{1}", "W_ho_h_{1}"): before_tanh,
                ("o_neuron_{1}", "o_{1}"): o,
            }
        self.tell(steps, inputs, ("h_input_sum_{1}", "W_xh_x_{1}"))
