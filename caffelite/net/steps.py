"""A graph made executable: one step per layer, with everything that does not change looked up beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.autograd.graph import saved_tensors_hooks

from ..errors import CaffeliteError, Fault
from ..graph import Graph, Node
from ..layerkit import Layer, Run

if TYPE_CHECKING:
    from .net import Net


Table = list[torch.Tensor | None]
"""The values of a pass by slot, as far as they are there yet, and still."""


def call(
    node: Node, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
) -> Sequence[torch.Tensor | None]:
    """What a layer's forward gives; an error of torch's in it is the layer's."""
    try:
        tops: Sequence[torch.Tensor | None] = node.layer.forward(run, bottoms, weights)
        return tops
    except CaffeliteError:
        raise
    except RuntimeError as error:
        raise uncomputed(node, bottoms, error) from error


def uncomputed(node: Node, bottoms: Sequence[torch.Tensor], error: RuntimeError) -> CaffeliteError:
    """What to tell of an error of torch's in a layer's forward."""
    shapes = ", ".join(str(tuple(bottom.shape)) for bottom in bottoms)
    return CaffeliteError(node.fault(f"cannot compute: {str(error).splitlines()[0]} (bottoms: {shapes or 'none'})"))


def is_of_its_forward(layer: Layer, name: str) -> bool:
    """Whether what a layer says of its forward by an attribute is said of this one, which no class derived from the one
    that says it has changed."""
    order = type(layer).__mro__
    said, forward = (next(depth for depth, cls in enumerate(order) if one in vars(cls)) for one in (name, "forward"))
    return said <= forward and "forward" not in vars(layer)


def tell_shapes(node: Node, bottoms: Sequence[torch.Tensor]) -> None:
    """Tell a layer what shapes its bottoms have in this pass."""
    node.layer.shapes([tuple(bottom.shape) for bottom in bottoms])
    node.layer.raise_faults()


def reading(last: Callable[[], torch.Tensor]) -> AbstractContextManager[object]:
    """Let a backward see what the last layer left in its blob, as the original's in-place layers do."""
    return saved_tensors_hooks(lambda saved: saved.shape, lambda shape: last().detach().reshape(shape))


def total_loss(terms: Iterable[tuple[torch.Tensor, float]], device: torch.device) -> torch.Tensor:
    """The sum of losses times their weights, 0-d."""
    total: torch.Tensor | None = None
    for top, weight in terms:
        term = top if top.dim() == 0 else top.sum()
        term = term if weight == 1.0 else term * weight
        total = term if total is None else total + term
    return torch.zeros((), device=device) if total is None else total


def lasting(net: Net, graph: Graph) -> dict[str, int]:
    """The blobs that survive a pass besides losses, and their values: outputs, and what passes begin with where a layer
    works on it in place, and so changes it for the next one."""
    changed = (blob for blob, begin in net.input_values.items() if graph.blobs[blob] != begin)
    return {blob: graph.blobs[blob] for blob in (*graph.outputs, *changed)}


@dataclass(slots=True)
class Step:
    """One layer's turn.

    Attributes:
        reads, writes: slots of the value table; a Split shares the slot it reads.
        weights: the layer's weight tensors.
        looks_up: one of them is only a view of the leaf, whose memory may become another: they are looked up anew each
            pass.
        stop: positions of bottoms whose gradient ends here although they carry one.
        flattens: positions of 4-d bottoms whose gradient may come back in another memory order than the net's.
        varies: its bottoms' shapes are known in each pass only.
        silent: nothing behind this layer wants its gradient.
        reread: the value its backward reads in place of what it computed, where a later layer works on in place.
        frees: slots nobody reads after this step.
    """

    node: Node
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    weights: Sequence[torch.Tensor] = ()
    looks_up: bool = False
    stop: tuple[int, ...] = ()
    flattens: tuple[int, ...] = ()
    varies: bool = False
    silent: bool = False
    reread: int | None = None
    frees: list[int] = field(default_factory=list)


def slots(graph: Graph) -> list[int]:
    """For each value the slot that holds it: tops of a Split are their bottom."""
    slot = list(range(len(graph.values)))
    for node in graph.nodes:
        if node.layer.sharing_bottoms:
            for value in node.writes:
                slot[value] = slot[node.reads[0]]
    return slot


def weighted(graph: Graph) -> list[tuple[int, float]]:
    """The values that are losses, with their weights, in the net's order."""
    return [
        (value, weight)
        for node in graph.nodes
        for value, weight in zip(node.writes, node.loss_weights, strict=False)
        if weight
    ]


def graded_from_above(graph: Graph) -> set[int]:
    """The values whose gradient a later layer's backward writes."""
    return {
        value
        for node in graph.nodes
        if node.needs_backward
        for value, need in zip(node.reads, node.bottom_needs, strict=True)
        if need
    }


def memory(tensor: torch.Tensor) -> int:
    """Which memory a tensor lies in, however it is looked at."""
    return tensor.untyped_storage().data_ptr()


def overwritten(graph: Graph, node: Node) -> int | None:
    """The last value of a layer's blob, where a later layer writes it and this one's backward reads it anew."""
    reads = node.layer.rereads
    if not (reads and node.needs_backward) or (reads == "bottom" and node.tops[0] != node.bottoms[0]):
        return None
    last = graph.blobs[node.tops[0]]
    return None if last == node.writes[0] else last


def varying(graph: Graph) -> frozenset[int]:
    """Nodes behind a layer whose tops vary in size: they are told the shapes of their bottoms in every pass, but for
    those that find these by themselves."""
    values, nodes = set[int](), set[int]()
    for node in graph.nodes:
        behind = not values.isdisjoint(node.reads)
        if behind and not node.layer.reshapes:
            nodes.add(node.index)
        if node.layer.varies or behind:
            values.update(node.writes)
    return frozenset(nodes)


def refusals(graph: Graph) -> dict[int, list[Fault]]:
    """By node, the faults of a backward that needs a gradient for a bottom that never gets one (a label, an index)."""
    found: dict[int, list[Fault]] = {}
    for node in graph.nodes:
        refused = node.layer.ungraded - node.layer.passed_over
        for position, blob in enumerate(node.bottoms):
            if node.needs_backward and node.bottom_needs[position] and position in refused:
                text = f'has no gradient for its bottom "{blob}", and the layers above it need one'
                help = "propagate_down: false stops there; give it once for each bottom, in their order"
                found.setdefault(node.index, []).append(node.fault(text, f"bottom[{position}]", help))
    return found


def _flattens(graph: Graph, node: Node) -> tuple[int, ...]:
    shapes = [graph.values[index].shape or () for index in node.reads]
    if all(len(graph.values[index].shape or ()) == 4 for index in node.writes):
        return ()
    return tuple(position for position, shape in enumerate(shapes) if len(shape) == 4 and node.bottom_needs[position])


def compile_steps(net: Net, graph: Graph, kept: set[int]) -> list[Step]:
    """The steps of the fast plan.

    Args:
        graph: the net's, or the same with gradients flowing elsewhere.
        kept: values that must survive the pass (losses, outputs).
    """
    slot = slots(graph)
    carries = [False] * len(graph.values)
    steps, last, behind = list[Step](), dict[int, int](), varying(graph)
    for node in graph.nodes:
        if node.layer.sharing_bottoms or node.type == "Input":
            for value in node.writes:
                carries[value] = carries[node.reads[0]] if node.reads else node.needs_backward
            continue
        reads = tuple(slot[value] for value in node.reads)
        stop = tuple(
            position
            for position, value in enumerate(node.reads)
            if carries[value] and not node.bottom_needs[position] and node.needs_backward
        )
        for value in node.writes:
            carries[value] = node.needs_backward
        writes, weights = tuple(slot[value] for value in node.writes), net.weights_of(node.index)
        looks_up = any(one is not blob.owner.tensor for one, blob in zip(weights, net.rows[node.index], strict=True))
        step = Step(node, reads, writes, weights, looks_up, stop)
        step.flattens = _flattens(graph, node) if net.channels_last else ()
        step.silent = not node.needs_backward
        step.reread, step.varies = overwritten(graph, node), node.index in behind
        for index in (*reads, *step.writes):
            last[index] = len(steps)
        steps.append(step)
    lasting = {slot[value] for value in kept}
    for index, number in last.items():
        if index not in lasting:
            steps[number].frees.append(index)
    return steps
