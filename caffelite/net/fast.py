"""The plan that training runs: every layer's kernel forward, and back again, with nothing kept that nobody reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from ..errors import CaffeliteError, LayerError
from ..graph import Graph
from ..layerkit import SourceLayer
from ..proto import SolverParameter
from .captured import Captured
from .steps import (
    Step,
    Table,
    compile_steps,
    graded_from_above,
    is_of_its_forward,
    lasting,
    refusals,
    slots,
    tell_shapes,
    total_loss,
    uncomputed,
    weighted,
)
from .taped import TapedKernel
from .turns import Turn, joined, overwrite, rounded

if TYPE_CHECKING:
    from .blob import Parameter
    from .net import Net

Take = Callable[["Parameter", torch.Tensor, bool], object]
"""What is done with a gradient of a parameter; the last argument: whether its memory is nobody else's."""


class FastPlan:
    """Everything from data to losses and back; only losses and outputs survive a pass.

    Attributes:
        reading, computing: the turns of layers that read data, which come first; and all others.
        drawing: those of layers that leave something to chance, and the slots where that is, behind all others.
        captured: makes passes without Python where all kernels allow it, but for the layers that read.
    """

    def __init__(self, net: Net) -> None:
        graph = net.graph
        self.net = net
        self.slot = slots(graph)
        self.outputs = lasting(net, graph)
        losses, graded = weighted(graph), graded_from_above(graph)
        self.losses = [(self.slot[value], weight) for value, weight in losses]
        # Where a later layer reads a loss, its backward overwrites the gradient that the loss weight is, as in the
        # original: the weight counts for the loss that is told, not for the gradient.
        self.sources = [(self.slot[value], weight) for value, weight in losses if value not in graded]
        steps = compile_steps(net, graph, {*self.outputs.values(), *(value for value, _ in losses)})
        self.reread = frozenset(step.reread for step in steps if step.reread is not None)
        kept = {self.slot[value] for value in self.outputs.values()} | {index for index, _ in self.losses}
        self.turns = joined([self._turn(step, graph) for step in steps], kept | self.reread)
        if net.precision == SolverParameter.BF16:
            for turn in self.turns:
                turn.kernel = rounded(turn)
        self.trainable = any(turn.back for turn in self.turns)
        self.refused = [fault for faults in refusals(graph).values() for fault in faults]
        self.reading = [turn for turn in self.turns if isinstance(turn.step.node.layer, SourceLayer)]
        self.computing = [turn for turn in self.turns if not isinstance(turn.step.node.layer, SourceLayer)]
        drawing = [turn for turn in self.computing if turn.kernel.draws is not None]
        self.drawing = list(enumerate(drawing, len(self.slot)))
        self.captured = Captured(self) if _capturable(self) else None
        self._last: dict[int, torch.Tensor] = {}
        self._slopes: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}
        self._table: Table = []
        overwrite(self.turns, kept | self.reread)

    def _turn(self, step: Step, graph: Graph) -> Turn:
        node = step.node
        wants = [bool(need) and node.needs_backward for need in node.bottom_needs] or [False] * len(node.reads)
        learns = [graph.weights[index].wanted and node.needs_backward for index in node.weights]
        written = is_of_its_forward(node.layer, "make_kernel") and not step.varies
        made = node.layer.make_kernel(self.net.run, wants, learns) if written else None
        kernel = made or TapedKernel(node, wants, learns)
        kernel.rereads = step.reread is not None
        owners = [row.owner if learn else None for row, learn in zip(self.net.rows[node.index], learns, strict=True)]
        return Turn(step, kernel, any(wants) or any(learns), owners, (node,))

    def told(self) -> dict[int, str]:
        """By layer, what is special about how it is computed."""
        return {node.index: how for turn in self.turns for node, how in turn.told()}

    def forward_backward(self) -> torch.Tensor:
        """`forward` and `backward`."""
        with torch.no_grad(), self.net.arithmetic():
            if self.captured is not None:
                seen = self.captured.forward_backward()
                self.captured.show(seen)
                return seen.loss
            loss, outputs = self.compute(self.begin(backward=True), backward=True)
            self.net.run.position += 1
            self.tell(outputs)
            self.back(accumulate)
        return loss

    def forward(self, backward: bool) -> torch.Tensor:
        """One pass; returns the weighted loss.  With `backward` a call of that follows."""
        with torch.no_grad(), self.net.arithmetic():
            if self.captured is not None and not backward:
                loss, outputs = self.captured.forward()
            else:
                loss, outputs = self.compute(self.begin(backward), backward)
                self.net.run.position += 1
            self.tell(outputs)
        return loss

    def backward(self) -> None:
        """Add the gradients of the pass that was made last to those of the parameters."""
        with torch.no_grad(), self.net.arithmetic():
            self.back(accumulate)

    # -- parts of a pass, for those that make it in their own way ---------------------------------------------------

    def begin(self, backward: bool) -> Table:
        """The values that a pass begins with: what the net holds, what is read, and what chance decides."""
        if backward and self.refused:
            raise LayerError(self.refused)
        net = self.net
        table: Table = [None] * (len(self.slot) + len(self.drawing))
        for blob, value in net.input_values.items():
            table[value] = net.arranged(net.blobs[blob].data_mirror.tensor())
        self._run(self.reading, table, False)
        for slot, turn in self.drawing:
            table[slot] = turn.kernel.draws(net.run)  # type: ignore[misc]
        return table

    def compute(self, table: Table, backward: bool) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """The rest of a pass forward: its weighted loss, and the values of `outputs`."""
        keep = backward and self.trainable
        for slot, turn in self.drawing:
            turn.kernel.drawn, table[slot] = table[slot], None
        self._run(self.computing, table, keep)
        losses = [(table[index], weight) for index, weight in self.losses]
        loss = total_loss(losses, self.net.run.device)  # type: ignore[arg-type]
        self._table = table if keep else []
        return loss, [table[self.slot[value]] for value in self.outputs.values()]

    def tell(self, outputs: Sequence[torch.Tensor | None]) -> None:
        """Let blobs show the values of `outputs`."""
        net = self.net
        for blob, kept in zip(self.outputs, outputs, strict=True):
            if kept is not None:
                net.resize(blob, tuple(kept.shape))
                net.blobs[blob].data_mirror.set(kept if kept.dtype != torch.bfloat16 else kept.float())

    def _run(self, turns: Sequence[Turn], table: Table, keep: bool) -> None:
        try:
            for turn in turns:
                self._take(turn, table, keep)
        except BaseException:
            self.forget()
            raise

    def _take(self, turn: Turn, table: Table, keep: bool) -> None:
        net, step = self.net, turn.step
        bottoms: list[torch.Tensor] = [table[index] for index in step.reads]  # type: ignore[misc]
        if step.varies:
            tell_shapes(step.node, bottoms)
        weights = net.weights_of(step.node.index) if step.looks_up else step.weights
        try:
            tops = turn.kernel.forward(net.run, bottoms, weights, keep and turn.back)
        except CaffeliteError:
            raise
        except RuntimeError as error:
            raise uncomputed(step.node, bottoms, error) from error
        if not step.reads:
            tops = [top if top is None else net.arranged(top) for top in tops]
        for index, top in zip(step.writes, tops, strict=True):
            if top is not None:  # else the net holds it
                table[index] = top
                if keep and index in self.reread:
                    self._last[index] = top
        for index in step.frees:
            table[index] = None

    def back(self, take: Take) -> None:
        """The gradients of the parameters of the pass that was made last; `take` gets them one after the other."""
        if not self._table:
            return
        gradients: Table = [None] * len(self.slot)
        owned = [False] * len(self.slot)
        for index, weight in self.sources:
            gradients[index] = self._slope(index, weight)
        self._table = []
        try:
            for turn in reversed(self.turns):
                if turn.back:
                    self._back(turn, gradients, owned, take)
        finally:
            self.forget()

    def _slope(self, index: int, weight: float) -> torch.Tensor:
        """The gradient of a loss: its weight, everywhere."""
        top = self._table[index]
        assert top is not None
        key = index, tuple(top.shape)
        if key not in self._slopes:
            self._slopes[key] = torch.full_like(top, weight)
        return self._slopes[key]

    def _back(self, turn: Turn, gradients: Table, owned: list[bool], take: Take) -> None:
        step, kernel = turn.step, turn.kernel
        above, there = [], False
        for index in step.writes:
            gradient = gradients[index]
            above.append(gradient)
            there = there or gradient is not None
            gradients[index] = None
        if not there:
            kernel.forget()
            return
        mine = owned[step.writes[0]]
        if step.reread is not None:
            kernel.seen = self._last[step.reread]
        below, learned = kernel.backward(above, mine)
        for position, gradient in enumerate(below):
            if gradient is not None:
                if position in step.flattens:
                    gradient = self.net.arranged(gradient)
                _add(gradients, owned, step.reads[position], gradient, kernel.own_gradients)
        for parameter, gradient in zip(turn.learning, learned, strict=False):
            if gradient is not None and parameter is not None:
                take(parameter, gradient, kernel.own_gradients)

    def forget(self) -> None:
        """Let go of what a forward kept."""
        self._table = []
        self._last.clear()
        for turn in self.turns:
            turn.kernel.forget()


def _capturable(plan: FastPlan) -> bool:
    """Whether passes are the same operators each time."""
    return all(turn.kernel.capturable and not turn.step.varies for turn in plan.computing)


def accumulate(parameter: Parameter, gradient: torch.Tensor, own: bool) -> None:
    """Add a gradient to that of a parameter."""
    parameter.accumulate(gradient, own=own)


def _add(gradients: Table, owned: list[bool], index: int, gradient: torch.Tensor, own: bool) -> None:
    """Add to the gradient of a value."""
    there = gradients[index]
    if there is None:
        gradients[index], owned[index] = gradient, own
    elif owned[index]:
        there.add_(gradient)
    elif own:
        gradients[index], owned[index] = gradient.add_(there), True
    else:
        gradients[index], owned[index] = there + gradient, True
