"""The weights that a net begins with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from ..errors import Fault, GraphError, SnapshotError
from ..fillers import fill
from ..graph import Graph, Node
from ..layerkit import Shape
from ..runtime import seeds
from ..snapshot import blob_to_array
from ..snapshot.blobs import same_shape
from . import weights as weight_loading
from .blob import Parameter, SharedView

Row = list[Parameter | SharedView]
"""The weights of a layer."""


class FirstWeights:
    """The weights of all layers: those of another net's layers of the same names, what the prototxt gives, or what
    fillers do.

    Args:
        graph: the net's.
        seed: of the fillers.
        placed: brings a tensor to where the net computes, in its memory order.
        shared: the named weights of the other net, in whose memory the same weights lie.

    Attributes:
        rows: for each layer its weights.
        parameters: each weight once.

    Raises:
        GraphError: a weight cannot be shared.
        SnapshotError: one that the prototxt gives has another shape than the layer needs.
    """

    def __init__(
        self,
        graph: Graph,
        seed: int,
        placed: Callable[[torch.Tensor], torch.Tensor],
        shared: Iterable[tuple[str, Row]] = (),
    ) -> None:
        self.rows: list[Row] = []
        self.parameters: list[Parameter] = []
        self._graph, self._seed, self._placed = graph, seed, placed
        self._made: dict[int, Parameter] = {}
        self._twins: dict[int, Parameter] = {}
        names: Counter[str] = Counter()
        sources = weight_loading.by_name(shared)
        for node in graph.nodes:
            namesakes = sources.get(node.name) if node.weights else None
            source = namesakes.pop(0) if namesakes else None
            made = self._own(node, names[node.name]) if source is None else self._shared(node, source)
            names[node.name] += 1
            self.rows.append(made)

    def _own(self, node: Node, occurrence: int) -> Row:
        row: Row = []
        for index in node.weights:
            weight = self._graph.weights[index]
            if weight.owner == index:
                self._take(index, self._fresh(node, index, occurrence))
            owner = self._made[weight.owner]
            row.append(owner if owner.shape == weight.shape else SharedView(owner, weight.shape))
            if weight.wanted:
                owner.tensor.requires_grad_(True)
        return row

    def _shared(self, node: Node, source: Sequence[Parameter | SharedView]) -> Row:
        row: Row = []
        for index in node.weights:
            weight = self._graph.weights[index]
            theirs = _shared_from(node, source, weight.slot, weight.shape, len(node.weights))
            if theirs.owner.memory not in self._twins:
                self._twins[theirs.owner.memory] = theirs.owner.twin()
            owner = self._twins[theirs.owner.memory]
            row.append(owner if theirs is theirs.owner else SharedView(owner, theirs.shape))
            owner.tensor.requires_grad_(owner.tensor.requires_grad or weight.wanted)
            if weight.owner == index:
                self._take(index, owner)
        return row

    def _take(self, index: int, parameter: Parameter) -> None:
        self._made[index] = parameter
        self.parameters.append(parameter)

    def _fresh(self, node: Node, index: int, occurrence: int) -> Parameter:
        weight = self._graph.weights[index]
        given = node.param.blobs[weight.slot] if weight.slot < len(node.param.blobs) else None
        if given is not None:
            values = blob_to_array(given)
            if not same_shape(values.shape, weight.shape):
                fault = node.fault(f"blob {weight.slot} has shape {values.shape}, the layer needs {weight.shape}")
                raise SnapshotError(fault)
        else:
            generator = seeds.generator(self._seed, node.name, occurrence, "weight", weight.slot)
            values = fill(weight.filler, weight.shape, generator)
        tensor = torch.from_numpy(np.array(values, np.float32).reshape(weight.shape))
        return Parameter(node.name, weight.slot, self._placed(tensor), weight.lr_mult, weight.decay_mult)


def _shared_from(
    node: Node, source: Sequence[Parameter | SharedView], slot: int, shape: Shape, count: int
) -> Parameter | SharedView:
    """A weight of the other net."""
    if len(source) != count:
        raise GraphError(Fault(f"has {count} weights here and {len(source)} in the train net", layer=node.name))
    if source[slot].shape != shape:
        theirs = source[slot].shape
        message = f"weight {slot} has shape {shape} here and {theirs} in the train net, so the two cannot share it"
        raise GraphError(node.fault(message))
    return source[slot]
