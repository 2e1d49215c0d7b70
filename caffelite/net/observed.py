"""The plan that keeps everything: layer by layer, every blob and every gradient, beginning and ending anywhere, as the
original did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..errors import LayerError
from ..graph import Node
from .steps import call, graded_from_above, memory, overwritten, reading, refusals, tell_shapes, varying, weighted

if TYPE_CHECKING:
    from .net import Net


@dataclass(slots=True)
class _Played:
    """What a layer's forward left for its backward.

    Attributes:
        labels: by position, copies of the bottoms that the layer took as whole numbers.
    """

    bottoms: list[torch.Tensor]
    weights: Sequence[torch.Tensor]
    tops: list[torch.Tensor | None]
    labels: dict[int, torch.Tensor]


Watch = Callable[[str, int], None]
"""Told after each layer's "forward" or "backward", with the layer's index."""


class ObservedPlan:
    """Layer by layer, keeping everything."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.played: dict[int, _Played] = {}
        self.watch: Watch | None = None
        self.varying, self.refused = varying(net.graph), refusals(net.graph)
        self.graded = graded_from_above(net.graph)

    def forward(self, first: int = 0, last: int | None = None) -> torch.Tensor:
        """Run the layers from `first` to `last`, both included; returns their weighted loss."""
        net, total = self.net, torch.zeros((), device=self.net.run.device)
        last = len(net.graph.nodes) - 1 if last is None else last
        for node in net.graph.nodes[first : last + 1]:
            net.tell("before_forward", node.index)
            if node.type != "Input":
                with net.arithmetic():
                    total = total + self._forward(node)
            if self.watch:
                self.watch("forward", node.index)
            net.tell("after_forward", node.index)
        net.run.position += 1
        return total

    def _play(self, node: Node) -> _Played:
        """Compute a layer's tops from what lies in the blobs of its bottoms."""
        net, bottoms = self.net, []
        for position, blob in enumerate(node.bottoms):
            mirror = net.blobs[blob].data_mirror
            mirror.value = bottom = net.arranged(mirror.tensor())
            bottoms.append(bottom.detach().requires_grad_(node.needs_backward and node.bottom_needs[position]))
        if node.index in self.varying:
            tell_shapes(node, bottoms)
        with torch.set_grad_enabled(node.needs_backward):
            # `.data`: a backward that comes after the weights have changed takes them as they are, as the original's.
            weights = [one.data.requires_grad_(one.requires_grad) for one in net.weights_of(node.index)]
            with self._rereading(node):
                tops = list(call(node, net.run, bottoms, weights))
        taken = {position for position in node.layer.ungraded if position < len(bottoms) and node.needs_backward}
        return _Played(bottoms, weights, tops, {position: bottoms[position].detach().clone() for position in taken})

    def _forward(self, node: Node) -> torch.Tensor:
        net = self.net
        self.played[node.index] = played = self._play(node)
        bottoms, tops = played.bottoms, played.tops
        loss = torch.zeros((), device=net.run.device)
        taken = {memory(bottom) for bottom in bottoms}
        for blob, value, top, weight in zip(node.tops, node.writes, tops, node.loss_weights, strict=True):
            if top is None:  # the net holds it
                continue
            in_place = blob in node.bottoms
            net.resize(blob, tuple(top.shape))
            if not node.layer.sharing_bottoms:  # those of a Split are its bottom's memory
                net.blobs[blob].data_mirror.set(self._own(top.detach(), bottoms, set() if in_place else taken))
            if weight:
                if in_place:  # another gradient stands there
                    net.weigh(blob, weight)
                counts = weight if value in self.graded else net.blobs[blob].diff_mirror.tensor()
                loss = loss + (top.detach() * counts).sum()
        return loss

    @staticmethod
    def _own(top: torch.Tensor, bottoms: Sequence[torch.Tensor], taken: set[int]) -> torch.Tensor:
        """A top in memory of its own, so that writing to its array does not write to a bottom's.

        Flatten and its like share it as they do in the original, where the arrays are that memory; where arrays are
        copies (channels_last order, a GPU) each blob keeps its own.
        """
        if memory(top) not in taken:
            return top
        shares = top.shape != bottoms[0].shape and top.numel() == bottoms[0].numel()
        return top if shares and top.is_contiguous() and not top.is_cuda else top.clone()

    def _rereading(self, node: Node) -> AbstractContextManager[object]:
        if overwritten(self.net.graph, node) is None:
            return nullcontext()
        mirror = self.net.blobs[node.tops[0]].data_mirror
        return reading(lambda: self.net.arranged(mirror.tensor()))

    def forget(self) -> None:
        """Let go of everything that nobody holds an array of, but for what the net begins with."""
        self.played.clear()
        losses = {self.net.graph.values[value].blob for value, _ in weighted(self.net.graph)}
        held = {id(self.net.blobs[name].data_mirror) for name in self.net.input_values}
        for name, blob in self.net.blobs.items():
            if id(blob.data_mirror) not in held:
                blob.data_mirror.drop()
            if name not in losses and name not in self.net.input_values:  # a loss has its weight there
                blob.diff_mirror.drop()

    def backward(self, first: int | None = None, last: int = 0) -> None:
        """Run the layers' backward from `first` down to `last`, both included.

        A blob's gradient is overwritten, a parameter's is added to, as in the original.
        """
        for blob in self.net.blobs.values():
            if blob.data_mirror.lent:
                blob.data_mirror.tensor()
        first = len(self.net.graph.nodes) - 1 if first is None else first
        for node in reversed(self.net.graph.nodes[last : first + 1]):
            self.net.tell("before_backward", node.index)
            if node.needs_backward and node.type != "Input":
                with self.net.arithmetic():
                    self._backward(node)
            if node.needs_backward and self.watch:
                self.watch("backward", node.index)
            self.net.tell("after_backward", node.index)

    def _relabelled(self, node: Node, played: _Played) -> bool:
        """Whether labels or indices are others than in the layer's forward: the original's backward reads them anew."""
        blobs = {position: self.net.blobs[node.bottoms[position]] for position in played.labels}
        return any(not torch.equal(blobs[at].data_mirror.tensor(), then) for at, then in played.labels.items())

    def _replayed(self, node: Node) -> _Played:
        """A forward for a backward that comes without one, as the original takes what lies in the blobs then; it
        leaves no trace."""
        remembered = {name: getattr(node.layer, name) for name in node.layer.remembers}
        collected = [blob.owner.tensor.detach().clone() for blob in self.net.rows[node.index]]
        played = self._play(node)
        for name, value in remembered.items():
            setattr(node.layer, name, value)
        if node.layer.collects:
            for blob, values in zip(self.net.rows[node.index], collected, strict=True):
                blob.owner.tensor.data.copy_(values)
        return played

    def _backward(self, node: Node) -> None:
        net = self.net
        if node.index in self.refused:
            raise LayerError(self.refused[node.index])
        played = self.played.get(node.index)
        if played is None or self._relabelled(node, played):
            played = self._replayed(node)
        wanted = [bottom for bottom in played.bottoms if bottom.requires_grad]
        weights = [weight for weight in played.weights if weight.requires_grad]
        tops = zip(played.tops, node.tops, strict=True)
        live = [(top, blob) for top, blob in tops if top is not None and top.requires_grad]
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
