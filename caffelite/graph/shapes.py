"""Shapes of every blob and weight, before a single tensor is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from ..errors import CaffeliteError, DataError, Fault
from .model import Graph, Node, Shape, Value, Weight


def _declare(node: Node, bottoms: list[Shape]) -> list[Shape | None]:
    node.layer.setup(bottoms)
    node.layer.raise_faults()
    tops = [None if shape is None else tuple(shape) for shape in node.layer.shapes(bottoms)]
    node.layer.raise_faults()
    return tops


def _unknown_faults(node: Node, tops: list[Shape | None]) -> list[Fault]:
    """Faults of tops whose shapes only somebody who has the data could say."""
    return [
        node.fault(f'the shape of its top "{blob}" is not known without its data', f"top[{position}]")
        for position, (blob, shape) in enumerate(zip(node.tops, tops, strict=False))
        if shape is None
    ]


def _in_place_faults(node: Node, bottoms: list[Shape], tops: list[Shape | None]) -> list[Fault]:
    return [
        node.fault(
            f'works in place on "{blob}" and changes its size from {bottom} to {top}',
            f"top[{position}]",
            "give the top another name",
            code="CL209",
        )
        for position, (blob, bottom, top) in enumerate(zip(node.tops, bottoms, tops, strict=False))
        if node.bottoms[position] == blob and top is not None and prod(bottom) != prod(top)
    ]


LARGEST = 2**31 - 1
"""Values a blob may hold (`Blob::Reshape`, `src/caffe/blob.cpp`)."""


def _size_faults(node: Node, tops: list[Shape | None]) -> list[Fault]:
    """Faults of arrays no machine can hold, before anybody tries to allocate them."""
    sized = [(f'top "{blob}"', shape) for blob, shape in zip(node.tops, tops, strict=False)]
    sized += [(f"weight {slot}", spec.shape) for slot, spec in enumerate(node.layer.weights)]
    return [
        node.fault(f"{what} would have shape {shape}: more than the {LARGEST:,} values a blob can hold", code="CL210")
        for what, shape in sized
        if shape is not None and prod(shape) > LARGEST
    ]


def _takes(node: Node, shape: Shape | None) -> bool:
    """Whether a top of this shape is of that of somebody who knows the data, if there is one."""
    return not node.reads and (shape is None or node.layer.assumes)


def infer(graph: Graph, given: Mapping[str, Shape], missing_data: bool) -> tuple[Graph, list[Fault]]:
    """Set every layer up and note the shapes it gives.

    Args:
        graph: wired.
        given: shapes of tops whose data source is not at hand.
        missing_data: treat a data source that cannot be read as a warning and its shapes as unknown; what follows from
            unknown shapes is unknown too and not checked.

    Returns:
        The graph with shapes and weights, and the faults of all layers.
    """
    values: list[Value] = list(graph.values)
    weights: list[Weight] = []
    nodes, faults, warnings = list[Node](), list[Fault](), list[Fault]()
    for node in graph.nodes:
        bottoms = [values[index].shape if index >= 0 else None for index in node.reads]
        known = [shape for shape in bottoms if shape is not None]
        tops: list[Shape | None] = [None] * len(node.tops)
        asked = node.layer is not None and len(known) == len(bottoms)
        if asked:
            try:
                declared = _declare(node, known)
                faults += _in_place_faults(node, known, declared) + _size_faults(node, declared)
                faults += [] if missing_data else _unknown_faults(node, declared)
                tops = declared
            except DataError as error:
                if missing_data:
                    warnings += [replace(fault, severity="warning") for fault in error.faults]
                else:
                    faults += error.faults
            except CaffeliteError as error:
                asked = False
                faults += error.faults
        warnings += node.layer.warnings() if asked else []
        for index, blob, shape in zip(node.writes, node.tops, tops, strict=True):
            values[index] = Value(blob, given.get(blob, shape) if _takes(node, shape) else shape)
        first = len(weights)
        if node.layer is not None:
            weights += [
                Weight(node.index, slot, spec.shape, spec.filler) for slot, spec in enumerate(node.layer.weights)
            ]
        nodes.append(replace(node, weights=tuple(range(first, len(weights)))))
    return (
        replace(
            graph,
            nodes=tuple(nodes),
            values=tuple(values),
            weights=tuple(weights),
            warnings=(*graph.warnings, *warnings),
        ),
        faults,
    )


def reshaped(graph: Graph, given: Mapping[int, Shape], part: slice = slice(None)) -> Graph:
    """The graph with its shapes worked out anew.

    Args:
        given: the shapes of the values that a pass begins with.
        part: the layers of the pass; the others are not asked, and their values keep the shapes they have.

    Raises:
        LayerError: a layer cannot take its new bottoms, or would need weights of another shape; all layers are told
            the shapes they had before, then.
    """
    values = [replace(value, shape=given.get(index, value.shape)) for index, value in enumerate(graph.values)]
    asked = [node for node in graph.nodes[part] if node.reads or not given.keys() >= set(node.writes)]
    for number, node in enumerate(asked):
        try:
            tops = node.layer.shapes([values[index].shape for index in node.reads])
            node.layer.raise_faults()
        except CaffeliteError:
            for told in asked[: number + 1]:
                told.layer.shapes([graph.values[index].shape for index in told.reads])
            raise
        for index, shape in zip(node.writes, tops, strict=True):
            if index not in given:
                values[index] = replace(values[index], shape=tuple(shape))
    return replace(graph, values=tuple(values))
