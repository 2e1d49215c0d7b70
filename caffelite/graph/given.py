"""Shapes that somebody gives for data that is not at hand."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Fault, did_you_mean
from .model import Graph, Shape


def unused_shapes(graph: Graph, given: Mapping[str, Shape]) -> list[Fault]:
    """Warnings about given shapes (`--input`) that a graph had no use for."""
    fed = {
        blob: value
        for node in graph.nodes
        if not node.reads
        for blob, value in zip(node.tops, node.writes, strict=True)
    }
    found = []
    for blob, shape in given.items():
        what = f"--input {blob}={'x'.join(map(str, shape))} is not used"
        if blob not in fed:
            help = did_you_mean(blob, fed) or f"data blobs: {', '.join(fed)}"
            message = f'{what}: no layer makes "{blob}" from nothing'
            found.append(Fault(message, None, help, severity="warning", code="CL216"))
            continue
        own = graph.values[fed[blob]].shape
        if own != shape:
            known = "x".join(map(str, own or ()))
            message = f'{what}: the net itself says that "{blob}" is {known}'
            found.append(Fault(message, severity="warning", code="CL216"))
    return found
