"""Two ways through a net, one arithmetic.

The *fast* plan keeps only what training needs: one autograd graph from the data to the loss, values freed after their
last reader.  The *observed* plan goes layer by layer, keeps every blob and every gradient, and can start and end
anywhere, as the original did.  Both call the same `Layer.forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.autograd.graph import saved_tensors_hooks

from ..errors import CaffeliteError, Fault
from ..graph import Node
from ..layerkit import Run
from .steps import Step, compile_steps, overwritten, slots

if TYPE_CHECKING:
    from .net import Net


def _call(layer: object, node: Node, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]):  # type: ignore[no-untyped-def]
    try:
        return layer.forward(run, bottoms, weights)  # type: ignore[attr-defined]
    except CaffeliteError:
        raise
    except RuntimeError as error:
        shapes = ", ".join(str(tuple(bottom.shape)) for bottom in bottoms)
        raise CaffeliteError(
            Fault(
                f"cannot compute: {str(error).splitlines()[0]} (bottoms: {shapes or 'none'})",
                node.places(""),
                None,
                node.name,
                node.type,
            )
        ) from error


def _reading(last: Callable[[], torch.Tensor]) -> AbstractContextManager[object]:
    """Let a backward see what the last layer left in its blob, as the original's in-place layers do."""
    return saved_tensors_hooks(lambda saved: saved.shape, lambda shape: last().detach().reshape(shape))


class FastPlan:
    """Everything from data to losses in one autograd graph; only losses and outputs survive a pass."""

    def __init__(self, net: Net) -> None:
        graph = net.graph
        self.net = net
        self.slot = slots(graph)
        self.outputs = {blob: graph.blobs[blob] for blob in graph.outputs}
        self.losses = [
            (self.slot[value], weight)
            for node in graph.nodes
            for value, weight in zip(node.writes, node.loss_weights, strict=False)
            if weight
        ]
        lasting = set(self.outputs.values()) | {
            value
            for node in graph.nodes
            for value, weight in zip(node.writes, node.loss_weights, strict=False)
            if weight
        }
        self.steps: list[Step] = compile_steps(net, lasting)
        self.table: list[torch.Tensor | None] = [None] * len(graph.values)
        self.reread: dict[int, torch.Tensor | None] = {
            step.reread: None for step in self.steps if step.reread is not None
        }
        self.trainable = any(step.node.needs_backward for step in self.steps)

    def forward(self, backward: bool) -> torch.Tensor:
        """One pass; returns the weighted loss, still attached to its graph when a backward is to follow."""
        net, run, table = self.net, self.net.run, self.table
        for blob, value in net.input_values.items():
            table[value] = net.arranged(net.blobs[blob].data_mirror.tensor())
        grad = backward and self.trainable
        with torch.set_grad_enabled(grad):
            for step in self.steps:
                bottoms = [table[index] for index in step.reads]
                for position in step.stop:
                    bottoms[position] = bottoms[position].detach()  # type: ignore[union-attr]
                if grad:
                    for position in step.flattens:
                        # Pooling's backward copies twice over when its gradient comes in another order than its input.
                        if bottoms[position].requires_grad:  # type: ignore[union-attr]
                            bottoms[position].register_hook(net.arranged)  # type: ignore[union-attr]
                if grad and step.silent:
                    with torch.no_grad():
                        tops = _call(step.layer, step.node, run, bottoms, step.weights)  # type: ignore[arg-type]
                else:
                    weights = net.weights_of(step.node.index) if step.reshaping else step.weights
                    with self._rereading(step) if step.reread is not None else nullcontext():
                        tops = _call(step.layer, step.node, run, bottoms, weights)  # type: ignore[arg-type]
                if not step.reads:
                    tops = [net.arranged(top) for top in tops]
                for index, top in zip(step.writes, tops, strict=True):
                    table[index] = top
                    if index in self.reread:
                        self.reread[index] = top
                for index in step.frees:
                    table[index] = None
            loss = self._loss()
        for blob, value in self.outputs.items():
            kept = table[self.slot[value]]
            if kept is not None:
                net.blobs[blob].data_mirror.set(kept.detach())
        for index in range(len(table)):
            table[index] = None
        run.position += 1
        return loss

    def _rereading(self, step: Step) -> AbstractContextManager[object]:
        def last() -> torch.Tensor:
            value = self.reread[step.reread]  # type: ignore[index]
            assert value is not None
            return value

        return _reading(last)

    def _loss(self) -> torch.Tensor:
        total: torch.Tensor | None = None
        for index, weight in self.losses:
            top = self.table[index]
            assert top is not None
            term = top if top.dim() == 0 else top.sum()
            term = term if weight == 1.0 else term * weight
            total = term if total is None else total + term
        return torch.zeros((), device=self.net.run.device) if total is None else total

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of `loss` to those of the parameters."""
        if loss.requires_grad:
            loss.backward()
        for index in self.reread:
            self.reread[index] = None


@dataclass(slots=True)
class _Played:
    """What a layer's forward left for its backward."""

    bottoms: list[torch.Tensor]
    weights: Sequence[torch.Tensor]
    tops: list[torch.Tensor]


Watch = Callable[[str, int], None]
"""Told after each layer's "forward" or "backward", with the layer's index."""


class ObservedPlan:
    """Layer by layer, keeping everything."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.played: dict[int, _Played] = {}
        self.watch: Watch | None = None
        for node in net.graph.nodes:
            for blob, weight in zip(node.tops, node.loss_weights, strict=False):
                if weight:
                    mirror = net.blobs[blob].diff_mirror
                    mirror.set(torch.full(mirror.shape, weight, device=net.run.device))

    def forward(self, first: int = 0, last: int | None = None) -> torch.Tensor:
        """Run the layers from `first` to `last`, both included; returns their weighted loss."""
        net, total = self.net, torch.zeros((), device=self.net.run.device)
        last = len(net.graph.nodes) - 1 if last is None else last
        for node in net.graph.nodes[first : last + 1]:
            if node.type != "Input":
                total = total + self._forward(node)
            if self.watch:
                self.watch("forward", node.index)
        net.run.position += 1
        return total

    def _forward(self, node: Node) -> torch.Tensor:
        net = self.net
        bottoms = []
        for position, blob in enumerate(node.bottoms):
            bottom = net.arranged(net.blobs[blob].data_mirror.tensor()).detach()
            bottoms.append(bottom.requires_grad_(node.needs_backward and node.bottom_needs[position]))
        with torch.set_grad_enabled(node.needs_backward):
            weights = net.weights_of(node.index)
            with self._rereading(node):
                tops = list(_call(node.layer, node, net.run, bottoms, weights))
        self.played[node.index] = _Played(bottoms, weights, tops)
        loss = torch.zeros((), device=net.run.device)
        for blob, top, weight in zip(node.tops, tops, node.loss_weights, strict=True):
            net.blobs[blob].data_mirror.set(top.detach())
            if weight:
                loss = loss + top.detach().sum() * weight
        return loss

    def _rereading(self, node: Node) -> AbstractContextManager[object]:
        if overwritten(self.net.graph, node) is None:
            return nullcontext()
        mirror = self.net.blobs[node.tops[0]].data_mirror
        return _reading(lambda: self.net.arranged(mirror.tensor()))

    def backward(self, first: int | None = None, last: int = 0) -> None:
        """Run the layers' backward from `first` down to `last`, both included.

        A blob's gradient is overwritten, a parameter's is added to, as in the original.
        """
        first = len(self.net.graph.nodes) - 1 if first is None else first
        for node in reversed(self.net.graph.nodes[last : first + 1]):
            if node.needs_backward and node.index in self.played:
                self._backward(node, self.played[node.index])
            if node.needs_backward and self.watch:
                self.watch("backward", node.index)

    def _backward(self, node: Node, played: _Played) -> None:
        net = self.net
        wanted = [bottom for bottom in played.bottoms if bottom.requires_grad]
        weights = [weight for weight in played.weights if weight.requires_grad]
        live = [(top, blob) for top, blob in zip(played.tops, node.tops, strict=True) if top.requires_grad]
        gradients: Sequence[torch.Tensor | None] = [None] * (len(wanted) + len(weights))
        if live and (wanted or weights):
            gradients = torch.autograd.grad(
                [top for top, _ in live],
                [*wanted, *weights],
                [net.blobs[blob].diff_mirror.tensor().reshape(top.shape) for top, blob in live],
                retain_graph=True,
                allow_unused=True,
            )
        found = iter(gradients)
        for blob, bottom in zip(node.bottoms, played.bottoms, strict=True):
            if bottom.requires_grad:
                gradient = next(found)
                net.blobs[blob].diff_mirror.set(gradient if gradient is not None else torch.zeros_like(bottom))
        if played.bottoms and live and not played.bottoms[0].requires_grad:
            left = node.layer.scratch(played.bottoms, net.blobs[live[0][1]].diff_mirror.tensor())
            if left is not None:
                net.blobs[node.bottoms[0]].diff_mirror.set(left)
        for row, weight in zip(net.rows[node.index], played.weights, strict=True):
            gradient = next(found) if weight.requires_grad else None
            if gradient is not None:
                row.owner.accumulate(gradient)
