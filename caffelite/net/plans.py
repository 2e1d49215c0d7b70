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

from ..errors import CaffeliteError, Fault, LayerError
from ..graph import Node
from ..layerkit import Run
from .steps import Step, compile_steps, memory, overwritten, refusals, slots, varying, weighted

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


def _tell_shapes(node: Node, bottoms: Sequence[torch.Tensor]) -> None:
    """Tell a layer what shapes its bottoms have in this pass."""
    node.layer.shapes([tuple(bottom.shape) for bottom in bottoms])
    node.layer.raise_faults()


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
        losses = weighted(graph)
        read = {
            value
            for node in graph.nodes
            if node.needs_backward
            for value, need in zip(node.reads, node.bottom_needs, strict=True)
            if need
        }
        # Where a later layer reads a loss, its backward overwrites the gradient that the loss weight is, as in the
        # original: the weight counts for the loss that is told, not for the gradient.
        self.losses = [(self.slot[value], weight, value not in read) for value, weight in losses]
        self.steps: list[Step] = compile_steps(net, {*self.outputs.values(), *(value for value, _ in losses)})
        self.table: list[torch.Tensor | None] = [None] * len(graph.values)
        self.reread: dict[int, torch.Tensor | None] = {
            step.reread: None for step in self.steps if step.reread is not None
        }
        self.trainable = any(step.node.needs_backward for step in self.steps)
        self.refused = [fault for faults in refusals(graph).values() for fault in faults]

    def forward(self, backward: bool) -> torch.Tensor:
        """One pass; returns the weighted loss, still attached to its graph when a backward is to follow."""
        if backward and self.refused:
            raise LayerError(self.refused)
        net, run, table = self.net, self.net.run, self.table
        for blob, value in net.input_values.items():
            table[value] = net.arranged(net.blobs[blob].data_mirror.tensor())
        grad = backward and self.trainable
        with torch.set_grad_enabled(grad):
            for step in self.steps:
                bottoms: list[torch.Tensor] = [table[index] for index in step.reads]  # type: ignore[misc]
                for position in step.stop:
                    bottoms[position] = bottoms[position].detach()
                if step.varies:
                    _tell_shapes(step.node, bottoms)
                if grad:
                    for position in step.flattens:
                        # Pooling's backward copies twice over when its gradient comes in another order than its input.
                        if bottoms[position].requires_grad:
                            bottoms[position].register_hook(net.arranged)
                if grad and step.silent:
                    with torch.no_grad():
                        tops = _call(step.layer, step.node, run, bottoms, step.weights)
                else:
                    weights = net.weights_of(step.node.index) if step.reshaping else step.weights
                    with self._rereading(step) if step.reread is not None else nullcontext():
                        tops = _call(step.layer, step.node, run, bottoms, weights)
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
                net.blobs[blob].reshape(*kept.shape)
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
        for index, weight, counts in self.losses:
            top = self.table[index]
            assert top is not None
            top = top if counts else top.detach()
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
        self.varying, self.refused = varying(net.graph), refusals(net.graph)
        for value, weight in weighted(net.graph):
            self._weigh(net.graph.values[value].blob, weight)

    def _weigh(self, blob: str, weight: float) -> None:
        """Put a loss weight where the original keeps it: in the blob's gradient."""
        mirror = self.net.blobs[blob].diff_mirror
        mirror.set(torch.full(mirror.shape, weight, device=self.net.run.device))

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
            mirror = net.blobs[blob].data_mirror
            mirror.value = bottom = net.arranged(mirror.tensor())
            bottoms.append(bottom.detach().requires_grad_(node.needs_backward and node.bottom_needs[position]))
        if node.index in self.varying:
            _tell_shapes(node, bottoms)
        with torch.set_grad_enabled(node.needs_backward):
            weights = net.weights_of(node.index)
            with self._rereading(node):
                tops = list(_call(node.layer, node, net.run, bottoms, weights))
        self.played[node.index] = _Played(bottoms, weights, tops)
        loss = torch.zeros((), device=net.run.device)
        taken = {memory(bottom) for bottom in bottoms}
        for blob, top, weight in zip(node.tops, tops, node.loss_weights, strict=True):
            in_place, reshaped = blob in node.bottoms, tuple(top.shape) != net.blobs[blob].shape
            if reshaped:
                net.blobs[blob].reshape(*top.shape)
            net.blobs[blob].data_mirror.set(self._own(node, top.detach(), bottoms, set() if in_place else taken))
            if weight:
                loss = loss + top.detach().sum() * weight
                if in_place or reshaped:  # another gradient stands there, or none
                    self._weigh(blob, weight)
        return loss

    @staticmethod
    def _own(node: Node, top: torch.Tensor, bottoms: Sequence[torch.Tensor], taken: set[int]) -> torch.Tensor:
        """A top in memory of its own, so that writing to its array does not write to a bottom's.

        Split, Flatten and their like share it as they do in the original, where the arrays are that memory; where
        arrays are copies (channels_last order, a GPU) each blob keeps its own.
        """
        if memory(top) not in taken:
            return top
        shares = node.layer.sharing_bottoms or (top.shape != bottoms[0].shape and top.numel() == bottoms[0].numel())
        return top if shares and top.is_contiguous() and not top.is_cuda else top.clone()

    def _rereading(self, node: Node) -> AbstractContextManager[object]:
        if overwritten(self.net.graph, node) is None:
            return nullcontext()
        mirror = self.net.blobs[node.tops[0]].data_mirror
        return _reading(lambda: self.net.arranged(mirror.tensor()))

    def backward(self, first: int | None = None, last: int = 0) -> None:
        """Run the layers' backward from `first` down to `last`, both included.

        A blob's gradient is overwritten, a parameter's is added to, as in the original.
        """
        for blob in self.net.blobs.values():
            if blob.data_mirror.lent:
                blob.data_mirror.tensor()
        first = len(self.net.graph.nodes) - 1 if first is None else first
        for node in reversed(self.net.graph.nodes[last : first + 1]):
            if node.needs_backward and node.index in self.played:
                self._backward(node, self.played[node.index])
            if node.needs_backward and self.watch:
                self.watch("backward", node.index)

    def _backward(self, node: Node, played: _Played) -> None:
        net = self.net
        if node.index in self.refused:
            raise LayerError(self.refused[node.index])
        wanted = [bottom for bottom in played.bottoms if bottom.requires_grad]
        weights = [weight for weight in played.weights if weight.requires_grad]
        live = [(top, blob) for top, blob in zip(played.tops, node.tops, strict=True) if top.requires_grad]
        above = [net.blobs[blob].diff_mirror.tensor().reshape(top.shape) for top, blob in live]
        gradients: Sequence[torch.Tensor | None] = [None] * (len(wanted) + len(weights))
        if live and (wanted or weights):
            gradients = torch.autograd.grad(
                [top for top, _ in live], [*wanted, *weights], above, retain_graph=True, allow_unused=True
            )
        found, taken = iter(gradients), {memory(gradient) for gradient in above}
        for blob, bottom in zip(node.bottoms, played.bottoms, strict=True):
            if bottom.requires_grad:
                gradient = next(found)
                gradient = torch.zeros_like(bottom) if gradient is None else gradient
                # Autograd hands one tensor to several; a blob's gradient is an array of its own.
                gradient = gradient.clone() if memory(gradient) in taken else gradient
                taken.add(memory(gradient))
                net.blobs[blob].diff_mirror.set(gradient)
        if played.bottoms and live and not played.bottoms[0].requires_grad:
            left = node.layer.scratch(played.bottoms, net.blobs[live[0][1]].diff_mirror.tensor())
            if left is not None:
                net.blobs[node.bottoms[0]].diff_mirror.set(left)
        for row, weight in zip(net.rows[node.index], played.weights, strict=True):
            gradient = next(found) if weight.requires_grad else None
            if gradient is not None:
                row.owner.accumulate(gradient)
