"""Where gradients flow.  Source: `Net::Init`, `src/caffe/net.cpp:60-260`.

A layer needs backward when one of its weights or bottoms needs a gradient *and* a loss stands behind it;
`propagate_down` overrides the first for a bottom, `force_backward` both.
"""

from __future__ import annotations

from dataclasses import replace

from .model import Graph, Node


def _learns(node: Node) -> bool:
    """Whether a weight of the layer has a rate.  (Under force_backward the gradients of frozen weights are computed
    too, but that does not make a label out of frozen layers want one.)"""
    specs = node.param.param
    return any(slot >= len(specs) or specs[slot].lr_mult != 0 for slot in range(len(node.weights)))


def _from_above(graph: Graph) -> list[Node]:
    """Walk down: a layer can pass a gradient on if a weight or a bottom of it wants one."""
    wanting = [False] * len(graph.values)
    nodes = []
    for node in graph.nodes:
        forced = list(node.param.propagate_down)
        bottoms = tuple(forced[position] if forced else wanting[value] for position, value in enumerate(node.reads))
        needs = any(wanting[value] for value in node.reads) or _learns(node)
        for value in node.writes:
            wanting[value] = needs
        nodes.append(replace(node, needs_backward=needs, bottom_needs=bottoms))
    return nodes


def _from_below(nodes: list[Node]) -> list[Node]:
    """Walk up: nothing flows through a layer behind which there is no loss, or nobody hands a gradient back."""
    under_loss: set[str] = set()
    stopped: set[str] = set()
    result = []
    for node in reversed(nodes):
        contributes = any(
            weight or blob in under_loss for blob, weight in zip(node.tops, node.loss_weights, strict=False)
        )
        all_stopped = all(blob in stopped for blob in node.tops)
        bottoms, needs = node.bottom_needs, node.needs_backward
        if needs and all_stopped:
            needs, bottoms = False, (False,) * len(bottoms)
        if not contributes:
            needs, bottoms = False, (False,) * len(bottoms)
        else:
            under_loss.update(node.bottoms)
        stopped.update(blob for blob, need in zip(node.bottoms, bottoms, strict=True) if not need)
        result.append(replace(node, needs_backward=needs, bottom_needs=bottoms))
    return result[::-1]


def flow(graph: Graph) -> Graph:
    """Decide for every layer whether it needs backward, and towards which bottoms."""
    nodes = _from_below(_from_above(graph))
    if graph.message.force_backward:
        nodes = [
            replace(
                node,
                needs_backward=True,
                bottom_needs=tuple(
                    need or position not in (node.layer.ungraded if node.layer else ())
                    for position, need in enumerate(node.bottom_needs)
                ),
            )
            for node in nodes
        ]
    return replace(graph, nodes=tuple(nodes))


def flow_everywhere(graph: Graph) -> Graph:
    """The graph of a part of a larger program, which may ask for any gradient: they flow through all layers, but where
    `propagate_down` ends them, and to no label."""

    def needs(node: Node) -> tuple[bool, ...]:
        said = tuple(node.param.propagate_down)
        return said or tuple(position not in node.layer.ungraded for position in range(len(node.bottoms)))

    nodes = (replace(node, needs_backward=True, bottom_needs=needs(node)) for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))
