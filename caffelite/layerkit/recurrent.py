"""What RNN and LSTM share: bottoms and weights, the state that stays from one forward to the next, and `debug_info`.

Source: src/caffe/layers/recurrent_layer.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from ..errors import SnapshotError
from .base import Layer, Shape, WeightSpec, torch
from .watching import say_bottom, say_top
from .weights import filled

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run


class Recurrent(Layer):
    """Base of recurrent types: (x, cont[, x_static][, first states]) → (y[, last states]).

    x: T×N×…, T steps of N sequences side by side; cont: T×N, 0 where a sequence begins; x_static: N×…, added in at
    every step.  With `expose_hidden` the states are 1×N×num_output, and no gradient goes through them; without, each
    of the N sequences begins with the state its last forward left, the first time with zeros.  That state belongs to
    the layer, so a test net has one of its own; a snapshot keeps it.  Sequences that a smaller
    batch leaves out keep theirs; a batch larger than any before begins with zeros throughout, as in the original.

    T may change from one forward to the next (the original refuses).

    Attributes:
        states: names of the states; gates: rows of the first weights for each output.
        static: whether there is an x_static.
    """

    states: ClassVar[tuple[str, ...]]
    gates: ClassVar[int]
    ungraded = frozenset({1})
    remembers = ("carried",)

    def unroll(
        self, x: Tensor, static: Tensor | None, cont: Tensor, starts: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """The first top, T×N×num_output, and the states after the last step, N×num_output.

        Args:
            x, static: T×N×inputs; N×inputs or None.
            starts: the states before the first step, N×num_output.
            weights: in the order they are declared: of x, the bias, of x_static if there is one, of the h before, and
                the type's own.
        """
        raise NotImplementedError

    # -- declaring ----------------------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("recurrent_param")
        self.outputs, self.exposed = settings.num_output, settings.expose_hidden
        self.require(self.outputs > 0, "recurrent_param.num_output", "must be positive")
        hidden = len(self.states) if self.exposed else 0
        self._check_counts(len(bottoms), hidden)
        self.raise_faults()
        self.static = len(bottoms) > 2 + hidden
        self._check(bottoms)
        self.raise_faults()
        rows = self.gates * self.outputs
        first = filled(self, (rows, math.prod(bottoms[0][2:])), "recurrent_param.weight_filler")
        self.weights = [replace(first, name="weight_x"), filled(self, (rows,), "recurrent_param.bias_filler")]
        if self.static:
            self.weights.append(WeightSpec((rows, math.prod(bottoms[2][1:])), first.filler, "weight_static"))
        self.weights.append(WeightSpec((rows, self.outputs), first.filler, "weight_h"))
        self._state: list[Tensor] | None = None

    def _check_counts(self, bottoms: int, hidden: int) -> None:
        names = ", ".join(("x", "cont", "x_static if there is one", *(f"{name}_0" for name in self.states[:hidden])))
        told = f" with expose_hidden: {'true' if self.exposed else 'false'}"
        rule = f"takes {2 + hidden} or {3 + hidden} bottoms{told} ({names}), got {bottoms}"
        self.expect(bottoms in (2 + hidden, 3 + hidden), rule, "recurrent_param.expose_hidden")
        tops = len(self.param.top)
        rule = f"takes {1 + hidden} {'tops' if hidden else 'top'}{told}, got {tops}"
        self.expect(tops == 1 + hidden, rule, "recurrent_param.expose_hidden")

    def _check(self, bottoms: Sequence[Shape]) -> None:
        """Note what does not fit about the bottoms' shapes."""
        x, cont = bottoms[:2]
        if not self.expect(len(x) >= 3 and x[0] > 0, f"needs x of steps×sequences×values, got {x}", "bottom[0]"):
            return
        self.expect(cont == x[:2], f"needs cont of steps×sequences, {x[:2]} as x, got {cont}", "bottom[1]")
        if self.static:
            static = bottoms[2]
            fits = len(static) >= 2 and static[0] == x[1]
            self.expect(fits, f"needs x_static of sequences×values, {x[1]}×…, got {static}", "bottom[2]")
        for at, start in enumerate(bottoms[2 + self.static :], 2 + self.static):
            needed = (1, x[1], self.outputs)
            self.expect(start == needed, f"needs a first state of {needed}, got {start}", f"bottom[{at}]")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self._check(bottoms)
        self.raise_faults()
        for at, axis, whose in ((0, 2, "step and sequence"), (2, 1, "sequence"))[: 1 + self.static]:
            count, needed = math.prod(bottoms[at][axis:]), self.weights[at].shape[1]
            rule = f"the weights are for {needed} values a {whose}, {bottoms[at]} has {count}"
            self.expect(count == needed, rule, f"bottom[{at}]")
        steps, count = bottoms[0][:2]
        return [(steps, count, self.outputs), *[(1, count, self.outputs)] * (len(self.param.top) - 1)]

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        steps, count = bottoms[0][:2]
        static = math.prod(self.weights[2].shape) if self.static else 0
        per_step = sum(math.prod(spec.shape) for spec in self.weights if len(spec.shape) > 1) - static
        return count * (steps * per_step + static)

    # -- computing ----------------------------------------------------------------------------------------------

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, cont, *rest = bottoms
        static = rest.pop(0).flatten(1) if self.static else None
        starts = [start[0].detach() for start in rest] or self._carried(x)
        y, ends = self.unroll(x.flatten(2), static, cont.detach(), starts, weights)
        # Copies, as in the original: what is written to the tops reaches neither the backward nor the next forward.
        y, ends = y.clone(), [end.detach().clone() for end in ends]
        if self.exposed:
            return (y, *(end.unsqueeze(0) for end in ends))
        self._carry(ends)
        return (y,)

    def project(self, x: Tensor, static: Tensor | None, weights: Sequence[Tensor]) -> Tensor:
        """What x, the bias and x_static add at each step, for all steps at once."""
        inputs = torch.nn.functional.linear(x, weights[0], weights[1])
        return inputs if static is None else inputs + torch.nn.functional.linear(static, weights[2])

    def _carried(self, x: Tensor) -> list[Tensor]:
        count = x.shape[1]
        if self._state is None or count > len(self._state[0]):
            return [x.new_zeros(count, self.outputs) for _ in self.states]
        return [state[:count].to(x) for state in self._state]

    def _carry(self, ends: list[Tensor]) -> None:
        if self._state is not None and len(self._state[0]) > len(ends[0]):
            ends = [torch.cat([end, old[len(end) :].to(end)]) for end, old in zip(ends, self._state, strict=True)]
        self._state = ends

    @property
    def carried(self) -> list[Tensor] | None:
        """The states that the next forward begins with, sequences×num_output each; None where that is zeros, or the
        states are exposed.  They are replaced, never changed in place.

        Raises:
            SnapshotError: on assignment, where they cannot be this layer's.
        """
        return self._state

    @carried.setter
    def carried(self, states: list[Tensor] | None) -> None:
        shapes = [tuple(state.shape) for state in states or ()]
        if states is not None and shapes != [(*shapes[0][:1], self.outputs)] * len(self.states):
            rule = f"its state is {' and '.join(self.states)} of sequences×{self.outputs}, got {shapes}"
            raise SnapshotError(self.fault(rule))
        self._state = states

    # -- debug_info ---------------------------------------------------------------------------------------------

    def tell(self, steps: Mapping[tuple[str, str], Tensor], inputs: Tensor, reader: tuple[str, str]) -> None:
        """Log every step as the original does for the layers of its unrolled net (but for its Slice, Split and Concat).

        Args:
            steps: by layer and blob, {0} standing for the step before and {1} for the step: values, T×N×….
            inputs, reader: what `project` gave, and the layer and blob whose gradients it gets.
        """

        def named(pair: tuple[str, str], step: int) -> tuple[str, str]:
            layer, blob = (part.format(step, step + 1) for part in pair)
            return f"{self.name}_{layer}", blob

        for step in range(len(inputs)):
            for pair, values in steps.items():
                say_top(*named(pair, step), values[step])

        def backward(gradient: Tensor) -> None:
            for step in reversed(range(len(gradient))):
                say_bottom(*named(reader, step), gradient[step])

        if inputs.requires_grad:
            inputs.register_hook(backward)
