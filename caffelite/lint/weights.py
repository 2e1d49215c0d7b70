"""Do the weights in a file fit a net?  Asked without making the net."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..errors import CaffeliteError, Fault, Place, did_you_mean
from ..graph import Node
from ..snapshot import Weights, read_weights
from ..snapshot.blobs import same_shape
from .subject import Subject


def of_weights(files: Sequence[str], nets: Sequence[Subject]) -> Iterator[Fault]:
    """What is wrong with these files for a net, which may be there in several phases."""
    stored = []
    for file in files:
        try:
            stored.append((file, read_weights(file)))
        except CaffeliteError as error:
            yield from (replace(fault, code=fault.code or "CL409") for fault in error.faults)
    nodes = {node.name: (net, node) for net in reversed(nets) for node in net.nodes if node.weights}
    if not nodes:
        return
    for file, weights in stored:
        yield from _misfits(file, weights, nodes)
    had = {layer.name for _, weights in stored for layer in weights.layers if layer.blobs}
    had |= {name for name, (net, node) in nodes.items() if _scaled_by(net, node) in _merged(stored)}
    if stored and had & nodes.keys():
        names = ", ".join(file for file, _ in stored)
        for net, node in nodes.values():
            known = all(net.graph.weights[index].share == "" for index in node.weights)
            if node.name not in had and known:
                message = f"gets no weights: {names} has none for a layer of this name"
                help = did_you_mean(node.name, had - nodes.keys())
                yield node.fault(message, "name", help, code="CL614", severity="warning")


_NVIDIA = 5
"""Blobs of a BatchNorm of NVIDIA's fork: those of BatchNorm and of the Scale behind it."""


def _merged(stored: Sequence[tuple[str, Weights]]) -> set[str | None]:
    """The BatchNorm layers of the files that hold those of the Scale behind them."""
    layers = (layer for _, weights in stored for layer in weights.layers)
    return {layer.name for layer in layers if layer.type == "BatchNorm" and len(layer.blobs) == _NVIDIA}


def _scaled_by(net: Subject, node: Node) -> str | None:
    """The BatchNorm layer that a Scale stands behind."""
    above = net.above(node) if node.type == "Scale" else None
    return above.name if above is not None and above.type == "BatchNorm" else None


def _misfits(file: str, weights: Weights, nodes: dict[str, tuple[Subject, Node]]) -> Iterator[Fault]:
    """Weights that no layer takes, and weights of another shape than the layer's."""
    stored = [layer for layer in weights.layers if layer.blobs]
    strangers = [layer.name for layer in stored if layer.name not in nodes]
    place = Place(file)
    if stored and len(strangers) == len(stored):
        message = (
            f"none of its {len(stored)} layers with weights has the name of a layer of the net: nothing would be loaded"
        )
        yield Fault(message, place, f"it has {_listed(strangers)}; the net {_listed(list(nodes))}", code="CL613")
        return
    for name in strangers:
        free = nodes.keys() - {layer.name for layer in stored}
        help = did_you_mean(name, free) or "no layer of the net has this name: they are left out"
        message = f'the weights of layer "{name}" match no layer of the net'
        yield Fault(message, place, help, severity="warning", code="CL613")
    for layer in stored:
        if layer.name in nodes:
            net, node = nodes[layer.name]
            yield from _shapes(file, layer.blobs, net, node)


def _shapes(file: str, blobs: Sequence[object], net: Subject, node: Node) -> Iterator[Fault]:
    anew = "change the layer's settings back, or rename it to train it anew"
    if node.type == "BatchNorm" and len(blobs) == _NVIDIA:
        return
    if len(blobs) != len(node.weights):
        message = f"{file} holds {len(blobs)} blobs for this layer, the net has {len(node.weights)}"
        yield node.fault(message, "", anew, code="CL621")
        return
    for slot, (blob, index) in enumerate(zip(blobs, node.weights, strict=True)):
        wanted, shape = net.graph.weights[index].shape, getattr(blob, "shape", None)
        if shape is not None and not same_shape(tuple(shape), wanted):
            message = f"blob {slot} has shape {tuple(shape)} in {file}, and {wanted} in the net"
            yield node.fault(message, "", anew, code="CL621")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
