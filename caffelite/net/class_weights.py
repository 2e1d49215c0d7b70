"""Class weights that come from the labels of the training data: finding the layer that has these, and asking it."""

from __future__ import annotations

import logging

from ..errors import GraphError
from ..graph import Graph, Node
from ..layerkit import SourceLayer
from ..layerkit.losses import ClassLoss
from ..layerkit.source import LIST_WEIGHTS

log = logging.getLogger("caffelite")

_FIELD = "loss_param.weight_by_label_freqs"
_UNCHANGED = frozenset({"Split", "Flatten", "Reshape"})
"""Layer types whose tops hold the values of their bottom, in their order."""
_LABELS = 1
"""Which bottom of a loss holds the labels."""


def settle(graph: Graph, trained: Graph | None = None) -> None:
    """Give every loss that weighs classes by label frequencies its weights.

    They are those of the loss of the same name in `trained`, a graph that is settled already; else they are counted
    where the loss's labels come from.

    Raises:
        GraphError: the labels come from no data layer.
        DataError: the data layer cannot count, or a label is no class.
        LayerError: `trained` has weights for another number of classes.
    """
    known = {node.name: loss.class_weights for node, loss in _losses(trained)} if trained is not None else {}
    for node, loss in _losses(graph):
        if not loss.weighs_by_counts:
            continue
        weights = known.get(node.name)
        if weights is not None:
            loss.share_weights(weights)
        else:
            _count(graph, node, loss)


def _losses(graph: Graph) -> list[tuple[Node, ClassLoss]]:
    return [(node, node.layer) for node in graph.nodes if isinstance(node.layer, ClassLoss)]


def _count(graph: Graph, node: Node, loss: ClassLoss) -> None:
    source, top = _origin(graph, node.reads[_LABELS])
    whose = f'layer "{source.name}" ({source.type})'
    if not isinstance(source.layer, SourceLayer):
        message = f'cannot count labels: "{node.bottoms[_LABELS]}" comes from {whose}, which is no data layer'
        raise GraphError(node.fault(message, _FIELD, LIST_WEIGHTS))
    weights = loss.weigh_by(source.layer.label_counts(top), whose)
    text = " ".join(f"class_weighting: {weight:.6g}" for weight in weights)
    log.info('layer "%s" weighs classes by the labels of %s: %s', node.name, whose, text)


def _origin(graph: Graph, value: int) -> tuple[Node, int]:
    """The layer that a value comes from unchanged, and which of its tops it is."""
    makers = {made: (node, top) for node in graph.nodes for top, made in enumerate(node.writes)}
    node, top = makers[value]
    while node.type in _UNCHANGED:
        node, top = makers[node.reads[0]]
    return node, top
