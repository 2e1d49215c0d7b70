"""Shapes of a net's blobs, as far as they can be known without its data and in spite of what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ...assembly import NetFile, Warn, make_layer
from ...errors import Fault, did_you_mean
from ...graph import Graph, Shape
from ...graph.filtering import filter_net
from ...graph.shapes import infer
from ...graph.wiring import wire
from .wiring import Top, members

Shapes = dict[Top, list[Shape]]
"""By (layer, top) every shape it has in some state; nothing where none is known."""


def shapes_of(file: NetFile, states: Iterable[Any], given: Mapping[str, Shape], warn: Warn) -> Shapes:
    """The shapes in all of these states.

    Args:
        given: shapes of data tops whose source is not at hand.
        warn: told, once each, what keeps shapes from being known.
    """
    _unused(file, given, warn)
    found: Shapes = {}
    seen: set[int] = set()
    told: set[Fault] = set()
    for state in states:
        here = set(members(file.message, state))
        if here <= seen:
            continue
        seen |= here
        shapes, faults = _in_state(file, state, given)
        for top, shape in shapes.items():
            if shape not in found.setdefault(top, []):
                found[top].append(shape)
        for fault in faults:
            if fault not in told:
                told.add(fault)
                warn(replace(fault, severity="warning"))
    sources = [(index, file.message.layer[index]) for index in sorted(seen) if not file.message.layer[index].bottom]
    unknown = [blob for index, layer in sources for top, blob in enumerate(layer.top) if (index, top) not in found]
    if unknown:
        options = " ".join(f"--input {blob}=…" for blob in dict.fromkeys(unknown))
        warn(Fault("no shapes behind data of unknown shape", help=f"say the shapes: {options}", severity="note"))
    return found


def _unused(file: NetFile, given: Mapping[str, Shape], warn: Warn) -> None:
    """Warn about shapes that are given for nothing."""
    fed = list(dict.fromkeys(blob for layer in file.message.layer if not layer.bottom for blob in layer.top))
    for blob in given:
        if blob not in fed:
            what = f'a shape is given for "{blob}", which no layer makes from nothing'
            help = did_you_mean(blob, fed) or f"there are: {', '.join(fed)}"
            warn(Fault(what, help=help, severity="warning"))


def _in_state(file: NetFile, state: Any, given: Mapping[str, Shape]) -> tuple[dict[Top, Shape], list[Fault]]:
    kept, origins, faults = filter_net(file.message, state, file.places)
    graph, found = wire(kept, origins, partial(make_layer, allow_python=file.allow_python), file.places)
    graph, more = infer(graph, given, missing_data=True)
    for node in graph.nodes:
        if node.layer is not None:
            node.layer.close()
    shapes = {(origins[node], top): shape for (node, top), shape in _known(graph)}
    return shapes, [*faults, *found, *more, *graph.warnings]


def shapes_of_graph(graph: Graph) -> Shapes:
    """The shapes that a graph holds."""
    return {top: [shape] for top, shape in _known(graph)}


def _known(graph: Graph) -> list[tuple[Top, Shape]]:
    return [
        ((node.index, position), shape)
        for node in graph.nodes
        for position, value in enumerate(node.writes)
        if (shape := graph.values[value].shape) is not None
    ]


def shown(shapes: Iterable[Shape]) -> str:
    """Shapes as a label: "64x20x24x24", "Nx20x24x24" where only batches differ; nothing for a scalar."""
    different = [shape for shape in shapes if shape]
    if len({shape[1:] for shape in different}) == 1 and len(different) > 1:
        return "x".join(["N", *map(str, different[0][1:])])
    return " or ".join("x".join(map(str, shape)) for shape in different)
