"""What the next iteration depends on besides weights, history and iteration: the RunState of a solverstate, and back.

Order and chance are functions of (seed, layer, position), so a run's whole state is small: where each net stands, what
its layers remember, and what is on its way to be displayed.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SnapshotError
from ..layerkit.base import torch
from ..net.moment import Moment
from ..proto import LayerMemory, NetPosition, Remembered, RunState
from ..snapshot import FARTHEST, array_to_blob, blob_to_array

if TYPE_CHECKING:
    from ..graph import Node
    from ..net import Net
    from ..net.blob import Parameter
    from .rounds import Before
    from .solver import Solver

log = logging.getLogger("caffelite")

Value = Any
"""What can be remembered: numbers, NumPy arrays and tensors, lists and dictionaries of these; None where there is
nothing yet."""

Shared = set[int]
"""Identities of the train net's parameters, which snapshots hold."""


def taken(solver: Solver, before: Before) -> RunState:
    """The state of the run, as it must be found by the next iteration; `before` says where tests left it."""
    nets = [solver.net, *solver.test_nets]
    moments = [Moment(solver.net), *before.moments]
    shared = _shared(solver)
    return RunState(
        id=solver.run_id,
        type=solver.settings.type,
        net=[_position(net, moment, shared) for net, moment in zip(nets, moments, strict=True)],
        loss=solver.smoothed.window_of(),
        mean_loss=solver.smoothed.value(),
        early_stop=before.seen.early_stop,
        plateau=before.seen.plateau,
        method=[noted(value, name) for name, value in solver.rule.remembered().items()],
    )


def put_back(solver: Solver, state: RunState) -> None:
    """Let the solver stand where this was taken.  What has gone from its nets since is warned of."""
    solver.run_id = state.id or solver.run_id
    _tell_of_seed(solver, state)
    shared = _shared(solver)
    for index, (net, position) in enumerate(zip([solver.net, *solver.test_nets], state.net, strict=False)):
        _put_back(net, position, shared, f"test net #{index - 1}" if index else "train net")
    solver.smoothed.go_on(state.loss, state.mean_loss)
    solver.rule.remember(_of_method(state, solver.net.run.device))


def _of_method(state: RunState, device: torch.device) -> dict[str, Value]:
    return {entry.name: said(entry, device) for entry in state.method}


_DAMAGE = (ValueError, TypeError, LookupError, EOFError, OSError, ArithmeticError, MemoryError, SyntaxError, TokenError)
"""What reading arrays of unknown origin raises."""


def check(solver: Solver, state: RunState) -> None:
    """Look at everything that `put_back` is going to take.

    Raises:
        SnapshotError: something in it is damaged, or does not fit the solver.
    """
    if state.HasField("type") and state.type != solver.settings.type:
        raise SnapshotError(
            f'the state is of a solver of type "{state.type}", and this one is of type "{solver.settings.type}"',
            help=f'type: "{state.type}"; or begin a new run with its weights: --weights',
        )
    try:
        for memory in (memory for position in state.net for memory in position.layer):
            for entry in memory.remembered:
                _expect_possible(entry.name, said(entry, torch.device("cpu")))
            for blob in memory.blobs:
                blob_to_array(blob)
        method = _of_method(state, torch.device("cpu"))
    except _DAMAGE as error:
        raise SnapshotError(f"the solver state is damaged: {error}") from error
    solver.rule.check_memory(method)


def _expect_possible(name: str, value: Value) -> None:
    """Raise ValueError unless a layer of ours could have remembered this."""
    if name == "consumed" and not (isinstance(value, int) and 0 <= value < FARTHEST):
        raise ValueError(f"a layer has read {value} records")
    if name == "carried" and value is not None and not _are_states(value):
        raise ValueError("what a layer carries on is no list of states")


def _are_states(value: Value) -> bool:
    return isinstance(value, list) and all(isinstance(one, torch.Tensor) and one.dim() == 2 for one in value)


def _shared(solver: Solver) -> Shared:
    return {parameter.memory for parameter in solver.net.parameters}


def _tell_of_seed(solver: Solver, state: RunState) -> None:
    asked, had = solver.settings.random_seed, state.net[0].seed if state.net else None
    if asked >= 0 and had is not None and asked != had:
        log.warning("random_seed %d has no effect: the run that is resumed began with %d", asked, had)


def _position(net: Net, moment: Moment, shared: Shared) -> NetPosition:
    position = NetPosition(seed=net.run.seed, position=moment.position)
    remembered: dict[int, list[Remembered]] = {}
    for layer, name, value in moment.remembered:
        try:
            remembered.setdefault(id(layer), []).append(noted(value, name))
        except (TypeError, ValueError) as error:
            raise SnapshotError(layer.fault(f"{name} cannot be kept in a snapshot: {error}")) from error
    for node, own in _with_memory(net, shared):
        blobs = [array_to_blob(parameter.data) for parameter in own]
        position.layer.append(LayerMemory(name=node.name, remembered=remembered.get(id(node.layer), []), blobs=blobs))
    return position


def _with_memory(net: Net, shared: Shared) -> Iterator[tuple[Node, list[Parameter]]]:
    """The layers that have something to be noted, with the weights that are theirs alone."""
    for node, row in zip(net.graph.nodes, net.rows, strict=True):
        own = [blob.owner for blob in row if blob.owner.memory not in shared]
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
    for name in (name for name, left in memories.items() if any(map(_says_something, left))):
        log.warning('the %s has no layer "%s" any more that remembers anything: what it was is dropped', what, name)


def _says_something(memory: LayerMemory) -> bool:
    return bool(memory.blobs) or any(entry != Remembered(name=entry.name) for entry in memory.remembered)


def _fill(own: Sequence[Parameter], memory: LayerMemory, what: str) -> None:
    values = [blob_to_array(blob) for blob in memory.blobs]
    if [value.shape for value in values] != [parameter.shape for parameter in own]:
        log.warning('layer "%s" of the %s has other weights than in the state; it keeps them', memory.name, what)
        return
    for parameter, value in zip(own, values, strict=True):
        parameter.load(value)


def noted(value: Value, name: str | None = None) -> Remembered:
    """A value, under a name, as a message."""
    entry = Remembered(name=name)
    if isinstance(value, bool | int | np.integer):
        entry.whole = int(value)
    elif isinstance(value, float | np.floating):
        entry.real = float(value)
    elif isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("the keys of a dictionary must be text")
        entry.several = entry.named = True
        entry.item.extend(noted(one, key) for key, one in value.items())
    elif isinstance(value, list | tuple):
        entry.several = True
        entry.item.extend(noted(one) for one in value)
    elif isinstance(value, torch.Tensor):
        entry.tensor, entry.array = True, _npy(value.detach().cpu().numpy())
    elif isinstance(value, np.ndarray):
        entry.array = _npy(value)
    elif value is not None:
        raise TypeError(f"it holds a {type(value).__name__}")
    return entry


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def said(entry: Remembered, device: torch.device) -> Value:
    """The value that a message holds, tensors on this device.

    Raises:
        ValueError: an array in it is damaged.
    """
    if entry.HasField("whole"):
        return int(entry.whole)
    if entry.HasField("real"):
        return float(entry.real)
    if entry.several:
        if entry.named:
            return {item.name: said(item, device) for item in entry.item}
        return [said(item, device) for item in entry.item]
    if not entry.HasField("array"):
        return None
    array = np.load(io.BytesIO(entry.array), allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{entry.name or 'an entry'} is no array")
    return torch.from_numpy(array).to(device) if entry.tensor else array
