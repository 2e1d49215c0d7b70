"""A net as one graph of torch's autograd, for those who build programs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

from ..graph import Graph
from .steps import (
    Step,
    Table,
    call,
    compile_steps,
    graded_from_above,
    lasting,
    reading,
    refusals,
    slots,
    tell_shapes,
    total_loss,
    weighted,
)

if TYPE_CHECKING:
    from .net import Net


class AutogradPlan:
    """Everything from data to losses in one autograd graph; only losses and outputs survive a pass.

    Args:
        graph: the net's, with gradients flowing where they are wanted (:func:`caffelite.graph.flow_everywhere`).
    """

    def __init__(self, net: Net, graph: Graph) -> None:
        self.net = net
        self.slot = slots(graph)
        self.outputs = lasting(net, graph)
        losses, graded = weighted(graph), graded_from_above(net.graph)
        # Where a later layer reads a loss, its backward overwrites the gradient that the loss weight is, as in the
        # original: the weight counts for the loss that is told, not for the gradient.
        self.losses = [(self.slot[value], weight, value not in graded) for value, weight in losses]
        self.steps: list[Step] = compile_steps(net, graph, {*self.outputs.values(), *(value for value, _ in losses)})
        self.refused = [fault for faults in refusals(graph).values() for fault in faults]
        self.reread = frozenset(step.reread for step in self.steps if step.reread is not None)

    def run(self, given: Mapping[int, torch.Tensor]) -> Table:
        """All layers, from the values that a pass begins with to those that are kept."""
        net, grad = self.net, torch.is_grad_enabled()
        table: Table = [None] * len(self.slot)
        last: dict[int, torch.Tensor] = {}
        for value, tensor in given.items():
            table[value] = net.arranged(tensor)
        for step in self.steps:
            bottoms: list[torch.Tensor] = [table[index] for index in step.reads]  # type: ignore[misc]
            for position in step.stop:
                bottoms[position] = bottoms[position].detach()
            if step.varies:
                tell_shapes(step.node, bottoms)
            if grad:
                for position in step.flattens:
                    # Pooling's backward copies twice over when its gradient comes in another order than its input.
                    if bottoms[position].requires_grad:
                        bottoms[position].register_hook(net.arranged)
            with self._context(step, last) if grad else nullcontext():
                tops = self.compute(step, bottoms)
            if not step.reads:
                tops = [top if top is None else net.arranged(top) for top in tops]
            for index, top in zip(step.writes, tops, strict=True):
                if top is None:  # the net holds it
                    continue
                table[index] = top
                if grad and index in self.reread:
                    last[index] = top.detach()
            for index in step.frees:
                table[index] = None
        return table

    def compute(self, step: Step, bottoms: Sequence[torch.Tensor]) -> Sequence[torch.Tensor | None]:
        """The tops of one layer."""
        weights = self.net.weights_of(step.node.index) if step.looks_up else step.weights
        return call(step.node, self.net.run, bottoms, weights)

    @staticmethod
    def _context(step: Step, last: Mapping[int, torch.Tensor]) -> AbstractContextManager[object]:
        """What a layer computes in where gradients are wanted."""
        if step.silent:
            return torch.no_grad()
        return nullcontext() if step.reread is None else reading(lambda: last[step.reread])  # type: ignore[index]

    def loss(self, table: Table) -> torch.Tensor:
        """The weighted loss of a pass."""
        terms = ((table[index], weight, counts) for index, weight, counts in self.losses)
        given = ((top if counts else top.detach(), weight) for top, weight, counts in terms)  # type: ignore[union-attr]
        return total_loss(given, self.net.run.device)  # type: ignore[arg-type]
