"""What the layers of a net have to do, by their shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ...graph import Graph, Node, Shape
from ..summary import BYTES


@dataclass(frozen=True, slots=True)
class Work:
    """What a layer has to do in one pass: multiply-adds of matrix work, and bytes that it must at least move."""

    multiply_adds: int
    bytes: int


def forward_work(graph: Graph, node: Node) -> Work:
    """It reads bottoms and weights, and writes tops.  A Split moves nothing; what a layer without bottoms reads does
    not lie in memory."""
    bottoms, tops = _shapes(graph, node.reads), _shapes(graph, node.writes)
    idle = node.layer.sharing_bottoms or not node.bottoms
    moved = 0 if idle else _bytes([*bottoms, *(graph.weights[index].shape for index in node.weights), *tops])
    return Work(node.layer.multiply_adds(bottoms, tops), moved)


def backward_work(graph: Graph, node: Node) -> Work:
    """It reads the gradients of tops, and writes those of bottoms and weights that are wanted.  Matrix work is that of
    the forward for the bottoms, and once more for the weights."""
    if not node.needs_backward:
        return Work(0, 0)
    bottoms, tops = _shapes(graph, node.reads), _shapes(graph, node.writes)
    learned = [graph.weights[index].shape for index in node.weights if graph.weights[index].wanted]
    graded = [shape for shape, need in zip(bottoms, node.bottom_needs, strict=True) if need]
    times = bool(graded) + any(len(shape) > 1 for shape in learned)  # biases are no matrix work
    moved = _bytes([*tops, *graded, *learned]) if graded or learned else 0
    return Work(times * node.layer.multiply_adds(bottoms, tops), moved)


def _shapes(graph: Graph, values: Sequence[int]) -> list[Shape]:
    return [graph.values[value].shape or () for value in values]


def _bytes(shapes: Sequence[Shape]) -> int:
    return BYTES * sum(map(prod, shapes))
