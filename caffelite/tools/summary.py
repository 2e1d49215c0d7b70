"""A net as a table: shapes, parameters, multiply-adds, memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ..graph import Graph, Node

BYTES = 4
"""Of a number: nets compute in single precision."""


class Row(NamedTuple):
    """One line of the table, as text."""

    layer: str
    type: str
    shapes: str
    parameters: str
    multiply_adds: str
    activations: str


HEAD = Row("layer", "type", "output", "parameters", "multiply-adds", "activations")


class _Totals:
    parameters = multiply_adds = activations = 0


def own_parameters(graph: Graph, node: Node) -> int:
    """How many parameters a layer has in memory of its own."""
    return sum(prod(graph.weights[index].shape) for index in node.weights if graph.weights[index].owner == index)


def fixed_parameters(graph: Graph) -> int:
    """How many of the parameters no solver changes."""
    owners = (graph.weights[index] for index in graph.owners())
    return sum(prod(weight.shape) for weight in owners if weight.lr_mult == 0)


def activations(graph: Graph, node: Node) -> int:
    """The bytes that a layer's tops take up, as far as they are known; none for those that it makes in place, and for
    those that are its bottom."""
    if getattr(node.layer, "sharing_bottoms", False):
        return 0
    tops = zip(node.tops, node.writes, strict=True)
    shapes = (graph.values[index].shape for blob, index in tops if blob not in node.bottoms)
    return sum(prod(shape) * BYTES for shape in shapes if shape is not None)


def _row(graph: Graph, node: Node, totals: _Totals) -> Row:
    tops = [graph.values[index].shape for index in node.writes]
    bottoms = [graph.values[index].shape if index >= 0 else None for index in node.reads]
    text = ", ".join("?" if shape is None else "x".join(map(str, shape)) or "scalar" for shape in tops)
    known = node.layer is not None and None not in tops and None not in bottoms
    parameters = own_parameters(graph, node)
    work = node.layer.multiply_adds(bottoms, tops) if known else 0
    memory = activations(graph, node)
    totals.parameters += parameters
    totals.multiply_adds += work
    totals.activations += memory
    shared = bool(node.weights) and all(graph.weights[index].owner != index for index in node.weights)
    return Row(
        node.name,
        node.type,
        text,
        "shared" if shared else f"{parameters:,}" if parameters else "",
        f"{work:,}" if work else "",
        size(memory) if memory else "",
    )


def size(count: int) -> str:
    """Bytes for people: "196.0 KiB"."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def rows(graph: Graph) -> list[Row]:
    """A row a layer, and the totals last.  Splits, which cost nothing, are left out."""
    totals = _Totals()
    found = [_row(graph, node, totals) for node in graph.nodes if not getattr(node.layer, "sharing_bottoms", False)]
    memory = size(totals.activations)
    return [*found, Row(f"{len(found)} layers", "", "", f"{totals.parameters:,}", f"{totals.multiply_adds:,}", memory)]


def table(graph: Graph) -> str:
    """The net as aligned text, a line a layer, totals last."""
    *found, last = rows(graph)
    return aligned(HEAD, found, last, left=3)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[str], left: int) -> str:
    """Rows of cells as text between rules, the totals last; so many columns from the left are words, the others
    numbers."""
    widths = [max(map(len, column)) for column in zip(head, *rows, last, strict=True)]
    rule = "  ".join("-" * width for width in widths)
    lines = [_line(row, widths, left) for row in (head, *rows, last)]
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    words = [f"{cell:<{width}}" for cell, width in zip(row[:left], widths[:left], strict=True)]
    numbers = [f"{cell:>{width}}" for cell, width in zip(row[left:], widths[left:], strict=True)]
    return "  ".join([*words, *numbers]).rstrip()
