"""From a NetParameter to a Graph, in passes; no torch.

Each pass takes a net or graph and returns a new one together with the faults it found:
filter → splits → wire → shapes → share → gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Fault, GraphError, Places, nowhere
from .filtering import filter_net, state_of
from .gradients import flow, flow_everywhere
from .model import Factory, Graph, Node, Shape, Value, Weight
from .shapes import infer, reshaped
from .sharing import share
from .splits import blob_behind, insert_splits
from .wiring import wire

__all__ = [
    "Factory",
    "Graph",
    "Node",
    "Shape",
    "Value",
    "Weight",
    "blob_behind",
    "build",
    "flow_everywhere",
    "reshaped",
    "state_of",
    "survey",
]


def build(
    net: Any,
    state: Any,
    factory: Factory,
    places: Places = nowhere,
    *,
    given: Mapping[str, Shape] | None = None,
    missing_data: bool = False,
) -> Graph:
    """The graph of a net in a state: as :func:`survey`, which see.

    Raises:
        GraphError: with every fault of every pass, in the order of the file.
    """
    graph, faults = survey(net, state, factory, places, given=given, missing_data=missing_data)
    if faults:
        raise GraphError(faults)
    return flow(graph)


def survey(
    net: Any,
    state: Any,
    factory: Factory,
    places: Places = nowhere,
    *,
    given: Mapping[str, Shape] | None = None,
    missing_data: bool = False,
) -> tuple[Graph, list[Fault]]:
    """The graph of a net in a state, as far as it goes, and every fault of every pass in the order of the file.  Where
    its gradients flow is left open.

    Args:
        net: an upgraded NetParameter (its `layer` list is what counts).
        state: the NetState to build it in (see :func:`state_of`).
        factory: makes a layer of a LayerParameter, phase and places.
        places: where the net's fields stand in its file.
        given: shapes of data tops whose source is not at hand.
        missing_data: go on without shapes where a data source cannot be read (a warning of the graph).
    """
    kept, origins, faults = filter_net(net, state, places)
    split, origins, found = insert_splits(kept, origins, places)
    faults += found
    graph, found = wire(split, origins, factory, places)
    faults += found
    graph, found = infer(graph, given or {}, missing_data)
    faults += found
    graph, found = share(graph)
    faults += found
    return graph, sorted(faults, key=lambda fault: fault.place.line or 0 if fault.place else 0)
