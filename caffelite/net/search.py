"""An iteration repeated, layer by layer, to find where its values stop being finite."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from ..graph import Graph, Node
from ..layerkit import SourceLayer
from .census import Census, finite
from .moment import Moment
from .steps import weighted

if TYPE_CHECKING:
    from .net import Net

Sought = Literal["loss", "gradient", "outputs"]
"""What was seen to be not finite: the sum of the losses, a gradient of weights, or any output."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where values stop being finite: what the layer works with is finite, this is not.

    Attributes:
        node: the layer.
        array: which of its arrays: 'top "y"', 'the gradient of bottom "x"', "weight blob 0".
        census: what is in it.
        given: what the layer works with: the same words → what is in that.
        in_weights: the array are weights, as they were before the pass.
        record: in a layer that reads records, the number of the first bad one, counted over the run.
        others: names of further layers where the same begins anew.
    """

    node: Node
    array: str
    census: Census
    given: dict[str, Census]
    in_weights: bool = False
    record: int | None = None
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.array} {self.census}"
        if self.record is not None:
            text += f"; that is record {self.record} of the run"
        if self.given:
            text += f"; made from {', '.join(f'{array} ({census.range})' for array, census in self.given.items())}"
        if self.others:
            text += f"; it begins in {', '.join(self.others)} as well"
        return text


def find(net: Net, start: Moment, passes: int, sought: Sought) -> Origin | None:
    """Repeat an iteration and look where its values stop being finite; nothing of the repetition stays behind.

    Args:
        start: the net at the beginning of the iteration; its weights must still be those of then.
        passes: how many forwards it has.

    Returns:
        Where it begins, or None where the repetition is finite throughout.

    Raises:
        LayerError: it begins with a label or index that is none: on other devices than the CPU this is seen only here.
    """
    now, double = Moment(net, whole=True), net.double()
    try:
        start.put_back(double)
        for parameter in net.parameters:
            parameter.tensor.grad = None
        for _ in range(passes):
            origin = _forward(double, sought) or (_backward(double) if sought == "gradient" else None)
            if origin is not None:
                return origin
        return None
    finally:
        now.put_back(net)


def broken_weights(net: Net) -> Origin | None:
    """The first weights of the net that are not finite."""
    for node in net.graph.nodes:
        for slot, row in enumerate(net.rows[node.index]):
            if not finite([row.owner.tensor]):
                return _weights(node, slot, row.owner.tensor)
    return None


def _weights(node: Node, slot: int, tensor: torch.Tensor) -> Origin:
    return Origin(node, f"weight blob {slot}", Census.of(tensor, batch=False), {}, in_weights=True)


def _leading(graph: Graph, sought: Sought) -> set[int]:
    """The nodes whose tops lead to what was seen: to a loss, or to any output."""
    losses = {value for value, _ in weighted(graph)}
    wanted = {graph.blobs[blob] for blob in graph.outputs} if sought == "outputs" else losses
    found = set()
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.writes):
            found.add(node.index)
            wanted.update(node.reads)
    return found


# -- forward ----------------------------------------------------------------------------------------------------------


def _forward(net: Net, sought: Sought) -> Origin | None:
    position, leading, origins = net.run.position, _leading(net.graph, sought), list[Origin]()
    for node in net.graph.nodes:
        read = node.layer.consumed if isinstance(node.layer, SourceLayer) else None
        net.run.position = position  # a plan counts a pass each time, and all layers are one
        net.observed_plan.forward(node.index, node.index)
        origin = _after_forward(net, node) if node.index in leading else None
        if origin is not None:
            first = origin.census.first
            origins.append(replace(origin, record=None if read is None or first is None else read + first))
    return replace(origins[0], others=tuple(one.node.name for one in origins[1:])) if origins else None


def _after_forward(net: Net, node: Node) -> Origin | None:
    """The origin in a layer that was just computed, if it is one: a top, or the weights that spoil it."""
    tops = {f'top "{blob}"': net.blobs[blob].data_mirror.tensor() for blob in node.tops}
    bottoms = net.observed_plan.played[node.index].bottoms if node.bottoms else []
    if finite(tops.values()) or not finite(bottoms):
        return None
    weights = [row.owner.tensor for row in net.rows[node.index]]
    for slot, weight in enumerate(weights):
        if net.graph.weights[node.weights[slot]].wanted and not finite([weight]):
            return _weights(node, slot, weight)
    if node.layer.ungraded:
        _compute_on_the_cpu(net, node, bottoms)
    array, top = next((array, top) for array, top in tops.items() if not finite([top]))
    given = _of_bottoms(node, bottoms) | {f"weight blob {slot}": Census.of(one) for slot, one in enumerate(weights)}
    return Origin(node, array, Census.of(top), given)


def _of_bottoms(node: Node, bottoms: list[torch.Tensor]) -> dict[str, Census]:
    names = zip(node.layer.bottom_names, bottoms, strict=True)
    return {f'bottom "{name}"': Census.of(bottom) for name, bottom in names}


def _compute_on_the_cpu(net: Net, node: Node, bottoms: list[torch.Tensor]) -> None:
    """Let a layer say what is wrong with its labels or indices: there it does, elsewhere it makes NaN of them."""
    run = replace(net.run, device=torch.device("cpu"))
    with torch.no_grad():
        node.layer.forward(run, [one.cpu() for one in bottoms], [one.cpu() for one in net.weights_of(node.index)])


# -- backward ---------------------------------------------------------------------------------------------------------


def _backward(net: Net) -> Origin | None:
    leading = _leading(net.graph, "gradient")
    for node in reversed(net.graph.nodes):
        # The fast plan goes down from the losses only.
        if not node.needs_backward or not (net.observed or node.index in leading):
            continue
        given = {f'the gradient of top "{blob}"': _gradient_of(net, blob) for blob in node.tops}
        net.observed_plan.backward(node.index, node.index)
        given |= _of_bottoms(node, net.observed_plan.played[node.index].bottoms)
        origin = _after_backward(net, node, given)
        if origin is not None:
            return origin
    return None


def _after_backward(net: Net, node: Node, given: dict[str, Census]) -> Origin | None:
    """The origin in a layer whose gradients were just computed, if it is one."""
    for name, blob, needed in zip(node.layer.bottom_names, node.bottoms, node.bottom_needs, strict=True):
        if needed and (census := _gradient_of(net, blob)).odd:
            return Origin(node, f'the gradient of bottom "{name}"', census, given)
    for slot, row in enumerate(net.rows[node.index]):
        gradient = row.owner.grad
        if gradient is not None and not finite([gradient]):
            return Origin(node, f"the gradient of weight blob {slot}", Census.of(gradient, batch=False), given)
    return None


def _gradient_of(net: Net, blob: str) -> Census:
    return Census.of(net.blobs[blob].diff_mirror.tensor())
