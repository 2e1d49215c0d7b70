"""What the next iteration depends on besides weights, history and iteration: the RunState of a solverstate, and back.

Order and chance are functions of (seed, layer, position), so a run's whole state is small: where each net stands, what
its layers remember, and what is on its way to be displayed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..layerkit.base import torch
from ..proto import LayerMemory, NetPosition, Remembered, RunState
from ..snapshot import array_to_blob, blob_to_array

if TYPE_CHECKING:
    from torch import Tensor

    from ..graph import Node
    from ..net import Net
    from ..net.blob import Parameter
    from ..net.moment import Moment
    from .solver import Solver

log = logging.getLogger("caffelite")

Value = int | list[float] | list["Tensor"] | None
"""What can be remembered: a number, several, or arrays; None where there is nothing yet."""

Shared = set[int]
"""Identities of the train net's parameters, which snapshots hold."""


def taken(solver: Solver) -> RunState:
    """The state of the run, as it must be found by the next iteration."""
    nets = [solver.net, *solver.test_nets]
    shared = _shared(solver)
    return RunState(
        id=solver.run_id,
        net=[_position(net, moment, shared) for net, moment in zip(nets, solver.moments(), strict=True)],
        loss=solver.smoothed.window_of(),
        mean_loss=solver.smoothed.value(),
    )


def put_back(solver: Solver, state: RunState) -> None:
    """Let the solver stand where this was taken.  What has gone from its nets since is warned of."""
    solver.run_id = state.id or solver.run_id
    _tell_of_seed(solver, state)
    shared = _shared(solver)
    for index, (net, position) in enumerate(zip([solver.net, *solver.test_nets], state.net, strict=False)):
        _put_back(net, position, shared, f"test net #{index - 1}" if index else "train net")
    solver.smoothed.go_on(state.loss, state.mean_loss)


def _shared(solver: Solver) -> Shared:
    return {id(parameter) for parameter in solver.net.parameters}


def _tell_of_seed(solver: Solver, state: RunState) -> None:
    asked, had = solver.settings.random_seed, state.net[0].seed if state.net else None
    if asked >= 0 and had is not None and asked != had:
        log.warning("random_seed %d has no effect: the run that is resumed began with %d", asked, had)


def _position(net: Net, moment: Moment, shared: Shared) -> NetPosition:
    position = NetPosition(seed=net.run.seed, position=moment.position)
    remembered: dict[int, list[Remembered]] = {}
    for layer, name, value in moment.remembered:
        remembered.setdefault(id(layer), []).append(noted(name, value))
    for node, own in _with_memory(net, shared):
        blobs = [array_to_blob(parameter.data) for parameter in own]
        position.layer.append(LayerMemory(name=node.name, remembered=remembered.get(id(node.layer), []), blobs=blobs))
    return position


def _with_memory(net: Net, shared: Shared) -> Iterator[tuple[Node, list[Parameter]]]:
    """The layers that have something to be noted, with the weights that are theirs alone."""
    for node, row in zip(net.graph.nodes, net.rows, strict=True):
        own = [blob.owner for blob in row if id(blob.owner) not in shared]
        if own or node.layer.remembers:
            yield node, own


def _put_back(net: Net, position: NetPosition, shared: Shared, what: str) -> None:
    net.run.seed, net.run.position = position.seed, position.position
    memories: dict[str, list[LayerMemory]] = {}
    for memory in position.layer:
        memories.setdefault(memory.name, []).append(memory)
    for node, own in _with_memory(net, shared):
        if memories.get(node.name):
            memory = memories[node.name].pop(0)
            for entry in memory.remembered:
                if entry.name in node.layer.remembers:
                    setattr(node.layer, entry.name, said(entry, net.run.device))
            _fill(own, memory, what)
    for name in (name for name, left in memories.items() if left):
        log.warning('the %s has no layer "%s" any more that remembers anything: what it was is dropped', what, name)


def _fill(own: Sequence[Parameter], memory: LayerMemory, what: str) -> None:
    values = [blob_to_array(blob) for blob in memory.blobs]
    if [value.shape for value in values] != [parameter.shape for parameter in own]:
        log.warning('layer "%s" of the %s has other weights than in the state; it keeps them', memory.name, what)
        return
    for parameter, value in zip(own, values, strict=True):
        parameter.load(value)


def noted(name: str, value: Value) -> Remembered:
    """A value under a name, as a message."""
    if isinstance(value, int):
        return Remembered(name=name, number=value)
    entry = Remembered(name=name)
    for one in value or ():
        if isinstance(one, float):
            entry.value.append(one)
        else:
            entry.blob.append(array_to_blob(one.detach().cpu().numpy()))
    return entry


def said(entry: Remembered, device: torch.device) -> Value:
    """The value that a message holds, arrays on this device."""
    if entry.HasField("number"):
        return int(entry.number)
    if entry.value:
        return list(entry.value)
    return [torch.from_numpy(np.array(blob_to_array(blob))).to(device) for blob in entry.blob] or None
