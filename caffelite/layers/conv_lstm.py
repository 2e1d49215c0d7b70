"""ConvLSTM: an LSTM over images, whose products are convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .. import fillers, ops
from ..errors import Fault
from ..layerkit import Run, Shape, WeightSpec, between, layer
from ..layerkit.base import torch
from ..layerkit.recurrent import Recurrent
from ..layerkit.windows import Window, convolved
from ..proto import FillerParameter

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "lstm_conv_param"


@layer("ConvLSTM")
class ConvLSTM(Recurrent):
    """A long short-term memory over the images of a sequence, with peepholes.

    (i, f, o, g) = W_x*x + W_static*x_static + W_h*(cont·h of the step before) + b + (p_i·c, p_f·c, p_o·c, 0), c being
    that of the step before; c = cont·σ(f)·(c before) + σ(i)·tanh(g), h = σ(o)·tanh(c).  * is a convolution with the
    settings of lstm_conv_param, and h keeps its size.  Bottoms: x T×N×C×H×W, cont T×N, optionally x_static 1×N×…×H×W,
    and with `expose_hidden` h and c before the first step, 1×N×num_output×H×W.  Tops: h, T×N×num_output×H×W, and with
    `expose_hidden` the last h and c.  cont is 0 where a sequence begins and 1 where it goes on; p·c knows nothing of
    it.

    Weights, D being num_output: W_x 4D×C×k×k, W_static (with x_static), W_h 4D×D×k×k, b 4D (with `bias_term`), and
    unless `disable_hadamard`, p_i, p_f and p_o: the axes of 1×N×D×H×W from axis_hadamard on, num_axes_hadamard of them
    (H×W), 1 at first.  Everything but cont gets a gradient, exposed states too.

    Source: `src/caffe/layers/conv_lstm_layer.cpp`, `conv_lstm_unit_layer.cpp` in DengPingFan/DAVSOD, of agethen's fork;
    Shi et al., "Convolutional LSTM network", 2015.
    """

    fork: ClassVar[str] = "DengPingFan/DAVSOD, shenjianbing/PDB-ConvLSTM"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "cont"  # 4 steps of 2 sequences
      input_param { shape { dim: 4 dim: 2 dim: 8 dim: 12 dim: 12 } shape { dim: 4 dim: 2 } }
    }
    layer {
      name: "lstm" type: "ConvLSTM" bottom: "x" bottom: "cont" top: "h"  # 4×2×4×12×12
      lstm_conv_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "uniform" min: -0.03 max: 0.03 } }
    }
    """

    bottoms, tops = between(2, 5), between(1, 3)
    states = ("h", "c")
    gates = 4

    # -- declaring ----------------------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        convolutions = list(self.settings(_FIELD))
        count = f"needs lstm_conv_param once or twice, got it {len(convolutions)} times"
        self.expect(len(convolutions) in (1, 2), count, _FIELD)
        self.raise_faults()
        self.exposed = self.settings("recurrent_param").expose_hidden
        hidden = len(self.states) if self.exposed else 0
        self._check_counts(len(bottoms), hidden)
        for at, given in enumerate(convolutions):
            self._check_convolution(given, f"{_FIELD}[{at}]")
        self.channels = int(convolutions[0].num_output)
        same = convolutions[-1].num_output == self.channels
        self.expect(same, "num_output must be the same in both lstm_conv_param", f"{_FIELD}[1].num_output")
        self.raise_faults()
        self.static = len(bottoms) > 2 + hidden
        self.of_x, self.of_h = self._which(convolutions, "hidden"), self._which(convolutions, "input")
        self._check(bottoms)
        self.raise_faults()
        self._declare(bottoms)
        self._state: list[Tensor] | None = None

    @staticmethod
    def _which(convolutions: Sequence[Any], other: str) -> Any:
        """The first one, unless it is said to be of the other kind."""
        return convolutions[-1] if convolutions[0].type == other else convolutions[0]

    def _check_convolution(self, given: Any, path: str) -> None:
        self.expect(given.num_output > 0, f"num_output must be positive, got {given.num_output}", f"{path}.num_output")
        kinds = given.type in ("", "input", "hidden")
        self.expect(kinds, f'type must be "input" or "hidden", got "{given.type}"', f"{path}.type")
        self.expect(bool(given.kernel_size), "kernel_size is missing", path, "give kernel_size: 3")
        for name in ("kernel_size", "pad", "stride", "dilation"):
            values = getattr(given, name)
            times = f"{name} is given {len(values)} times: once, or once for height and once for width"
            self.expect(len(values) <= 2, times, f"{path}.{name}")
            for at, value in enumerate(values if name != "pad" else ()):
                self.expect(value > 0, f"{name} must be positive, got {value}", f"{path}.{name}[{at}]")

    def _window(self, given: Any) -> Window:
        """The window of a convolution over height and width."""

        def both(values: Sequence[int], unset: int) -> tuple[int, ...]:
            return tuple(values) if len(values) == 2 else (values[0] if values else unset,) * 2

        return Window(
            both(given.kernel_size, 1), both(given.stride, 1), both(given.pad, 0), both(given.dilation, 1)
        )  # fmt: skip

    def _state_shape(self, x: Shape) -> Shape:
        """1×N×num_output×H′×W′."""
        return (1, x[1], self.channels, *convolved(x[3:], self._window(self.of_x)))

    def _check(self, bottoms: Sequence[Shape]) -> None:
        x, cont = bottoms[:2]
        deep = len(x) == 5 and x[0] > 0
        if not self.expect(deep, f"needs x of steps×sequences×channels×height×width, got {x}", "bottom[0]"):
            return
        self.expect(cont == x[:2], f"needs cont of steps×sequences, {x[:2]} as x, got {cont}", "bottom[1]")
        state = self._state_shape(x)
        kept = convolved(state[3:], self._window(self.of_h))
        size = f"the convolution makes {kept[0]}×{kept[1]} of a state of {state[3]}×{state[4]}: it must keep its size"
        self.expect(kept == state[3:], size, _FIELD, "with kernel_size: 3, pad: 1")
        if self.static:
            static = bottoms[2]
            fits = len(static) == 5 and static[:2] == (1, x[1]) and static[3:] == x[3:]
            wanted = f"1×{x[1]}×…×{x[3]}×{x[4]}"
            self.expect(fits, f"needs x_static of {wanted}, got {static}", "bottom[2]")
        for at, start in enumerate(bottoms[2 + self.static :], 2 + self.static):
            self.expect(start == state, f"needs a first state of {state}, got {start}", f"bottom[{at}]")

    def _declare(self, bottoms: Sequence[Shape]) -> None:
        rows, debug = 4 * self.channels, self.settings("lstm_debug_param")
        x_kernel, h_kernel = self._window(self.of_x).kernel, self._window(self.of_h).kernel
        filler = self.of_x.weight_filler
        self.weights = [WeightSpec((rows, bottoms[0][2], *x_kernel), filler, "weight_x")]
        if self.static:
            self.weights.append(WeightSpec((rows, bottoms[2][2], *x_kernel), filler, "weight_static"))
        self.weights.append(WeightSpec((rows, self.channels, *h_kernel), self.of_h.weight_filler, "weight_h"))
        if self.of_h.bias_term:
            self.weights.append(WeightSpec((rows,), self.of_h.bias_filler, "bias"))
        for spec in self.weights:
            for fault in fillers.faults(spec.filler, spec.shape):
                self.expect(False, fault.message, _FIELD, fault.help, fault.code)
        state = self._state_shape(bottoms[0])
        self.size = state[1:]
        self.peephole: Shape = ()
        if debug.disable_hadamard:
            return
        first, last = debug.axis_hadamard, debug.axis_hadamard + debug.num_axes_hadamard
        beyond = f"axes {first} to {last - 1} are not all among the 5 axes of a state, {state}"
        self.expect(last <= 5, beyond, "lstm_debug_param.num_axes_hadamard")
        self.raise_faults()
        self.peephole = (*state[first:last], *(1,) * (5 - last))
        one = FillerParameter(type="constant", value=1)
        self.weights += [WeightSpec(state[first:last], one, f"peephole_{gate}") for gate in "ifo"]

    def warnings(self) -> list[Fault]:
        names = ("num_output", "weight_filler", "bias_filler", "debug_info")
        found = [self.without_effect(f"recurrent_param.{name}", "lstm_conv_param says all of it") for name in names]
        return [fault for faults in found for fault in faults]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self._check(bottoms)
        self.raise_faults()
        state = self._state_shape(bottoms[0])
        for at, inputs in ((0, bottoms[0][2]), (1, bottoms[2][2] if self.static else None)):
            needed = self.weights[at].shape[1]
            rule = f"the weights are for {needed} channels, got {inputs}"
            self.expect(inputs in (None, needed), rule, f"bottom[{2 * at}]")
        bound = bool(self.peephole) and self.settings("lstm_debug_param").num_axes_hadamard > 0
        other = f"its states are of {self.size}, as of the first bottoms; these would be of {state[1:]}"
        self.expect(not bound or state[2:] == self.size[1:], other, "bottom[0]")
        return [(bottoms[0][0], *state[1:]), *[state] * (len(self.param.top) - 1)]

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        steps, count, _, height, width = tops[0]
        total = 0
        for spec in self.weights[: 2 + self.static]:
            rows, inputs, *kernel = spec.shape
            times = 1 if spec.name == "weight_static" else steps
            total += times * rows * inputs * kernel[0] * kernel[1]
        return count * height * width * total

    # -- computing ----------------------------------------------------------------------------------------------

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, cont, *rest = bottoms
        named = {spec.name: weight for spec, weight in zip(self.weights, weights, strict=True)}
        inputs = self._convolved(x.flatten(0, 1), self.of_x, named["weight_x"]).unflatten(0, x.shape[:2])
        if self.static:
            inputs = inputs + self._convolved(rest.pop(0)[0], self.of_x, named["weight_static"])
        state = self._state_shape(tuple(x.shape))
        self.outputs = state[2] * state[3] * state[4]
        h, c = (start[0] for start in rest) if rest else (start.reshape(state[1:]) for start in self._carried(x))
        steps = []
        for step, begins in enumerate(cont.detach()):
            going_on = begins.reshape(-1, 1, 1, 1)
            gates = inputs[step] + self._convolved(h * going_on, self.of_h, named["weight_h"], named.get("bias"))
            if self.peephole:
                seen = [c * named[f"peephole_{gate}"].reshape(self.peephole) for gate in "ifo"]
                gates = gates + torch.cat([*seen, torch.zeros_like(c)], 1)
            new_c, new_h = ops.recurrent.lstm_unit(c.flatten(1), gates.flatten(1), begins)
            h, c = new_h.reshape(state[1:]), new_c.reshape(state[1:])
            steps.append(h)
        if self.exposed:
            return torch.stack(steps), h.unsqueeze(0).clone(), c.unsqueeze(0).clone()
        self._carry([end.detach().flatten(1).clone() for end in (h, c)])
        return (torch.stack(steps),)

    def _convolved(self, x: Tensor, given: Any, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        window = self._window(given)
        return torch.nn.functional.conv2d(x, weight, bias, window.stride, window.pad, window.dilation)
