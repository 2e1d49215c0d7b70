"""From a list of layers to nodes and values: who reads which version of which blob.

Source: `Net::AppendTop`, `Net::AppendBottom`, `src/caffe/net.cpp`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import CaffeliteError, Fault, Places
from .model import Factory, Graph, Node, Value


def _sub(places: Places, index: int) -> Places:
    prefix = f"layer[{index}]"
    return lambda field: places(f"{prefix}.{field}" if field else prefix)


def _arity_faults(node: Node) -> list[Fault]:
    layer, faults = node.layer, []
    for kind, names, arity in (("bottom", node.bottoms, layer.bottoms), ("top", node.tops, layer.tops)):
        if kind == "top" and layer.loss and not names:
            continue  # a loss may leave its top out
        if len(names) not in arity:
            noun = kind if str(arity) == "1" else f"{kind}s"
            message, place = f"takes {arity} {noun}, got {len(names)}", f"{kind}[0]" if names else ""
            if kind == "bottom" and layer.loss and len(names) == 1:
                help = 'a loss compares what the net says with what is true: add bottom: "label"'
                faults.append(node.fault(message, place, help, code="CL601"))
            else:
                faults.append(node.fault(message, place, code="CL206"))
    if layer.same_count and len(node.bottoms) != len(node.tops):
        message = f"takes as many tops as bottoms, got {len(node.bottoms)} and {len(node.tops)}"
        faults.append(node.fault(message, code="CL206"))
    wanted = len(node.param.propagate_down)
    if wanted and wanted != len(node.bottoms):
        message = f"propagate_down stands {wanted} times for {len(node.bottoms)} bottoms"
        faults.append(node.fault(message, "propagate_down[0]", code="CL207"))
    return faults


def _loss_weights(node: Node) -> tuple[tuple[float, ...], list[Fault]]:
    given, count = list(node.param.loss_weight), max(len(node.tops), 1 if node.layer.loss else 0)
    if given and len(given) != count:
        fault = node.fault(
            f"loss_weight stands {len(given)} times for {count} tops",
            "loss_weight[0]",
            "give loss_weight once per top, in their order, or leave it out",
            code="CL207",
        )
        return (0.0,) * count, [fault]
    if not given and node.layer.loss:
        given = [1.0]
    return tuple([*given, *[0.0] * count][:count]), []


class _Wires:
    """The values made so far while walking down the net; `copies`: by top of a Split the blob it is."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.current: dict[str, int] = {}
        self.makers: dict[str, Node] = {}
        self.copies: dict[str, str] = {}
        self.unread: set[str] = set()

    def write(self, node: Node, position: int) -> tuple[int, list[Fault]]:
        blob, faults = node.tops[position], []
        bottom = node.bottoms[position] if position < len(node.bottoms) else None
        if bottom is not None and self.copies.get(bottom) == blob:
            faults.append(
                node.fault(
                    f'works in place on "{blob}", which other layers read as it was before',
                    f"top[{position}]",
                    "give the top another name, and let the layers below that want the new values read that",
                    code="CL616",
                )
            )
        elif blob in self.current and bottom != blob:
            first = self.makers[blob]
            faults.append(
                node.fault(
                    f'top "{blob}" is already made by layer "{first.name}" ({first.type})',
                    f"top[{position}]",
                    "give this top another name"
                    + (f', or make it in place with bottom: "{blob}"' if len(node.tops) == 1 else ""),
                    code="CL203",
                )
            )
        self.values.append(Value(blob))
        self.current[blob] = len(self.values) - 1
        self.makers[blob] = node
        if position < len(node.param.top):  # a top the prototxt leaves out is no output of the net
            self.unread.add(blob)
        return len(self.values) - 1, faults

    def automatic(self) -> str:
        """A name for a loss that the prototxt leaves without a top: the original's, with a number from the second
        on."""
        made = sum(blob.startswith("(automatic") for blob in self.current)
        return f"(automatic {made + 1})" if made else "(automatic)"


def wire(net: Any, origins: list[int], factory: Factory, places: Places) -> tuple[Graph, list[Fault]]:
    """Nodes with their layers made, reading and writing values; shapes and weights are still unknown.

    A layer of an unknown type leaves a node without a layer, so that everything else can still be checked.
    """
    wires, nodes = _Wires(), list[Node]()
    faults, inputs = list[Fault](), list[str]()
    for index, param in enumerate(net.layer):
        where = _sub(places, origins[index])
        if not param.HasField("phase"):
            param.phase = net.state.phase
        node = Node(index, param, tuple(param.bottom), tuple(param.top), (), (), where)
        try:
            node = replace(node, layer=factory(param, param.phase, where))
        except CaffeliteError as error:
            faults.extend(error.faults)
        if index and origins[index] == origins[index - 1]:  # a Split behind the layer of that origin
            wires.copies.update(dict.fromkeys(node.tops, node.bottoms[0]))
        reads = tuple(wires.current.get(blob, -1) for blob in node.bottoms)
        wires.unread.difference_update(node.bottoms)
        if node.layer is not None:
            node.layer.bottom_names = [wires.copies.get(blob, blob) for blob in node.bottoms]
            problems = _arity_faults(node)
            if node.layer.loss and not node.tops:
                node = replace(node, tops=(wires.automatic(),))
            weights, more = _loss_weights(node) if not problems else ((0.0,) * len(node.tops), [])
            faults += problems + more
            node = replace(node, loss_weights=weights, layer=None if problems else node.layer)
        writes = []
        for position in range(len(node.tops)):
            value, problems = wires.write(node, position)
            writes.append(value)
            faults += problems
        if node.type == "Input":
            inputs.extend(node.tops)
        nodes.append(replace(node, reads=reads, writes=tuple(writes)))
    outputs = tuple(sorted(wires.unread))
    graph = Graph(net, tuple(nodes), tuple(wires.values), (), wires.current, tuple(inputs), outputs)
    return graph, faults
