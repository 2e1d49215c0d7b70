"""LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit.base import between, layer, torch
from ..layerkit.recurrent import Recurrent

if TYPE_CHECKING:
    from torch import Tensor


@layer("LSTM")
class LSTM(Recurrent):
    """A long short-term memory over the steps of a sequence, without peepholes.

    (i, f, o, g) = W_x·x + b + W_static·x_static + W_h·(cont·h of the step before), c = cont·σ(f)·(c of the step before)
    + σ(i)·tanh(g), h = σ(o)·tanh(c).  Bottoms: x T×N×…, cont T×N, optionally x_static N×…, and with `expose_hidden`
    h and c before the first step, 1×N×num_output.  Tops: h T×N×num_output, and with `expose_hidden` the last h and c.
    cont is 0 where a sequence begins and 1 where it goes on; elsewhere, h and c carry on from the last forward.
    Weights, D being num_output: W_x 4D×…, b 4D, W_static 4D×… (with x_static), W_h 4D×D.

    Gradients end at the first step, and none goes through cont and exposed states.  With a cont of neither 0 nor 1 the
    slope of σ(f) is taken where f is already multiplied by it.

    Source: `src/caffe/layers/lstm_layer.cpp`, `lstm_unit_layer.cpp`, `recurrent_layer.cpp`; Hochreiter and Schmidhuber,
    "Long short-term memory", 1997; Zaremba and Sutskever, "Learning to execute", 2014.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "cont"  # 20 steps of 4 sequences
      input_param { shape { dim: 20 dim: 4 dim: 50 } shape { dim: 20 dim: 4 } }
    }
    layer {
      name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"  # 20×4×30
      recurrent_param { num_output: 30 weight_filler { type: "uniform" min: -0.08 max: 0.08 } }
    }
    """

    bottoms, tops = between(2, 5), between(1, 3)
    states = ("h", "c")
    gates = 4

    def unroll(
        self, x: Tensor, static: Tensor | None, cont: Tensor, starts: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        recurrent, telling = ops.recurrent, self.settings("recurrent_param").debug_info
        begins = recurrent.beginnings(cont) if cont.device.type == "cpu" and not telling else None
        if begins is None:
            inputs = self.project(x, static, weights)
            h, c = recurrent.lstm(inputs, weights[-1], cont, *starts)
            if telling:
                self._tell(inputs, cont, starts[0], h, c, weights[-1])
            return h, (h[-1], c[-1])
        of_x = weights[0]
        if static is not None:
            x = torch.cat([x, static.expand(len(x), *static.shape)], -1)
            of_x = torch.cat([of_x, weights[2]], 1)
        h, last = recurrent.lstm_by_sequences(x, (of_x, weights[1], weights[-1]), cont, begins, *starts)
        return h, (h[-1], last)

    def _tell(self, inputs: Tensor, cont: Tensor, start: Tensor, h: Tensor, c: Tensor, weight: Tensor) -> None:
        with torch.no_grad():
            conted = torch.cat([start.unsqueeze(0), h[:-1]]) * cont.unsqueeze(-1)
            from_h = torch.nn.functional.linear(conted, weight)
            steps = {
                ("h_conted_{0}", "h_conted_{0}"): conted,
                ("transform_{1}", "W_hc_h_{0}"): from_h,
                ("gate_input_{1}", "gate_input_{1}"): inputs + from_h,
                ("unit_{1}", "c_{1}"): c,
                ("unit_{1}", "h_{1}"): h,
            }
        self.tell(steps, inputs, ("gate_input_{1}", "W_xc_x_{1}"))
