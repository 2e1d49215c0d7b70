"""The only place that sees the whole chain: net file → Net, solver file → Solver."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import graph as graphs
from . import prototxt
from .data.telling import find
from .errors import Fault, GraphError, Places, did_you_mean, nowhere
from .layerkit import layers
from .logs.records import Sink
from .proto import TEST, TRAIN, NetParameter, NetState, SolverParameter
from .runtime import seeds
from .solver import Settings
from .solver.events import Request, nothing_asked
from .upgrade import upgrade_net, upgrade_solver

if TYPE_CHECKING:
    import torch

    from .net import Loaded, Net
    from .solver import Solver
    from .solver.watch import OnNan

Warn = Callable[[Fault], None]
"""Takes what is odd but harmless."""


Told = Callable[[str, list["Loaded"]], None]
"""Takes the path of a weight file and what became of each layer."""


def untold(_path: str, _report: list[Loaded]) -> None:
    """The :data:`Told` of somebody who does not want to know."""


def silent(_fault: Fault) -> None:
    """The :data:`Warn` of somebody who does not want to know."""


def make_layer(param: Any, phase: int, places: Places, *, allow_python: bool = True) -> Any:
    """The layer a LayerParameter asks for.

    Raises:
        GraphError: no such type; the message proposes the nearest.  Or the type runs code that the file names, and
            that is not allowed.
    """
    kind = layers.get(param.type)
    if kind is None:
        what = f'unknown layer type "{param.type}"' if param.type else "the layer has no type"
        help = did_you_mean(param.type, layers.names()) or layers.known()
        raise GraphError(Fault(what, places("type"), help, param.name, param.type or None))
    code = kind.code(param)
    if code is not None and not allow_python:
        what = f'would run Python code that the file names: "{code}"'
        help = "--allow-python lets it; do so only for a file and a module that you trust"
        raise GraphError(Fault(what, places("python_param"), help, param.name, param.type))
    return kind(param, phase, places)


@dataclass(slots=True)
class NetFile:
    """A net as read and upgraded, with what was odd about it.

    `strict`: what is odd about its graph is an error.  `allow_python`: its layers may run code that it names.
    """

    message: Any
    places: Places = nowhere
    warnings: list[Fault] = field(default_factory=list)
    path: str | None = None
    strict: bool = False
    allow_python: bool = True


def read_net(
    path: str | os.PathLike[str], *, strict: bool = False, sets: Sequence[str] = (), allow_python: bool = True
) -> NetFile:
    """A net's prototxt of any age, brought to today's form.

    Raises:
        PrototxtError, UpgradeError: with every fault of the file.
    """
    text = prototxt.load(os.fspath(path), NetParameter, strict=strict)
    file = _upgraded_net(text.message, text.places, text.warnings, os.fspath(path), sets, text)
    file.strict, file.allow_python = strict, allow_python
    return file


def _upgraded_net(
    message: Any,
    places: Places,
    warnings: Iterable[Fault],
    path: str | None,
    sets: Sequence[str] = (),
    text: prototxt.Loaded[Any] | None = None,
) -> NetFile:
    upgraded = upgrade_net(message, places)
    result = NetFile(upgraded.message, upgraded.places, [*warnings, *upgraded.notes], path)
    if sets:
        base = text or prototxt.Loaded.of(result.message)
        changed = prototxt.override(replace(base, message=result.message, places=result.places), sets)
        result.message, result.places = changed.message, changed.places
    return result


def build_graph(
    net: NetFile,
    state: Any,
    *,
    given: Mapping[str, tuple[int, ...]] | None = None,
    missing_data: bool = False,
) -> graphs.Graph:
    """The graph of a net in a state; see :func:`caffelite.graph.build`.

    With `missing_data`, warnings stay warnings in a strict file: the caller goes on to find everything.
    """
    factory = partial(make_layer, allow_python=net.allow_python)
    graph = graphs.build(net.message, state, factory, net.places, given=given, missing_data=missing_data)
    if net.strict and graph.warnings and not missing_data:
        raise GraphError(replace(fault, severity="error") for fault in graph.warnings)
    return graph


def load_net(
    path: str | os.PathLike[str],
    phase: int = TEST,
    *,
    level: int | None = None,
    stages: Iterable[str] = (),
    weights: Sequence[str] = (),
    device: torch.device | None = None,
    seed: int | None = None,
    observed: bool = False,
    strict: bool = False,
    sets: Sequence[str] = (),
    allow_python: bool = True,
    warn: Warn = silent,
    loaded: Told = untold,
) -> Net:
    """A net file as a runnable net, with trained weights where files are named.

    Args:
        path: the net's prototxt, of any age.
        phase, level, stages: the NetState to build it in, over the file's own.
        weights: caffemodels to copy weights from, in order.
        device: where to compute; the CPU where nothing is said.
        seed: of all its random draws; one of the system's where nothing is said.
        observed: keep every blob and gradient.
        strict: warnings of the file are errors.
        sets: assignments put over the file ("layer[ip1].inner_product_param.num_output=300").
        allow_python: its Python layers may run.
        warn: told what is odd.
        loaded: told which layers got weights from each file.

    Raises:
        CaffeliteError: with every fault found at the first step that finds any.
    """
    file = read_net(path, strict=strict, sets=sets, allow_python=allow_python)
    graph = build_graph(file, graphs.state_of(file.message, phase, level, stages))
    for fault in (*file.warnings, *graph.warnings):
        warn(fault)
    net = _run(graph, device, seeds.fresh() if seed is None else seed, observed)
    for weight_file in weights:
        loaded(weight_file, net.load_weights(weight_file))
    return net


def _run(graph: graphs.Graph, device: torch.device | None, seed: int, observed: bool, share: Net | None = None) -> Net:
    from .net import Net

    return Net(graph, device, seed, observed=observed, share=share)


@dataclass(slots=True)
class SolverFile:
    """A solver as read and checked, and the nets it names.

    Attributes:
        message: the upgraded SolverParameter, with everything the command line put over it.
        settings: the same, checked.
        train, tests: its nets, and the states to build them in (`train_state`, `test_states`).
        warnings: what is odd about any of these files.
    """

    message: Any
    settings: Settings
    train: NetFile
    train_state: Any
    tests: list[NetFile]
    test_states: list[Any]
    warnings: list[Fault] = field(default_factory=list)
    path: str | None = None


def read_solver(
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    sets: Sequence[str] = (),
    level: int | None = None,
    stages: Iterable[str] = (),
    weights: Sequence[str] | None = None,
    allow_python: bool = True,
) -> SolverFile:
    """A solver's prototxt with its nets; nothing is built yet, and torch is not needed.

    Args:
        path: the solver's prototxt, of any age.
        strict: warnings of the files are errors.
        sets: assignments put over the files; one that starts with `layer[` is put over the nets.
        level, stages: added to `train_state`, as the original's command line does.
        weights: take the place of the file's `weights`; none at all when resuming.
        allow_python: Python layers of the nets may run.

    Raises:
        PrototxtError, UpgradeError, SettingsError: with every fault of the file that has any.
    """
    name = os.fspath(path)
    text = prototxt.load(name, SolverParameter, strict=strict)
    upgraded = upgrade_solver(text.message, text.places)
    text = replace(text, message=upgraded.message, places=upgraded.places)
    net_sets = [entry for entry in sets if entry.lstrip().startswith("layer[")]
    text = prototxt.override(text, [entry for entry in sets if entry not in net_sets], strict)
    message = text.message
    if level is not None:
        message.train_state.level = level
    message.train_state.stage.extend(stages)
    if weights is not None:
        message.weights[:] = [",".join(weights)] if weights else []
    settings = Settings.from_message(message, text.places, name)
    message.snapshot_prefix = settings.snapshot_prefix
    read: dict[str, NetFile] = {}

    def net(kind: str, value: Any, index: int | None = None) -> NetFile:
        if not isinstance(value, str):
            place = kind if index is None else f"{kind}[{index}]"
            inside = _upgraded_net(value, prototxt.sub(text.places, place), (), name, net_sets)
            inside.strict, inside.allow_python = strict, allow_python
            return inside
        if value not in read:
            where = find(value, Path(name).parent)
            read[value] = read_net(where, strict=strict, sets=net_sets, allow_python=allow_python)
        return read[value]

    train = net(*settings.train_net)
    counts: dict[str, int] = {}
    tests = []
    for test in settings.test_nets:
        index = counts[test.kind] = counts.get(test.kind, -1) + 1
        tests.append(net(test.kind, test.value, index if test.kind == "test_net_param" else None))
    warnings = [*text.warnings, *upgraded.notes, *settings.notes, *settings.warnings]
    for file in {id(file): file for file in (train, *tests)}.values():
        warnings += file.warnings
    return SolverFile(
        message,
        settings,
        train,
        _merged(TRAIN, train.message.state, settings.train_state),
        tests,
        [_merged(TEST, file.message.state, test.state) for file, test in zip(tests, settings.test_nets, strict=True)],
        warnings,
        name,
    )


def _merged(phase: int, own: Any, more: Any) -> Any:
    """The state of one of a solver's nets: the net's own, then the solver's (`Solver::InitTrainNet`)."""
    state = NetState(phase=phase)
    state.MergeFrom(own)
    if more is not None:
        state.MergeFrom(more)
    return state


def solver_graphs(
    file: SolverFile, *, given: Mapping[str, tuple[int, ...]] | None = None, missing_data: bool = False
) -> tuple[graphs.Graph, list[graphs.Graph]]:
    """The graphs of a solver's train net and test nets; see :func:`caffelite.graph.build`."""
    train = build_graph(file.train, file.train_state, given=given, missing_data=missing_data)
    tests = [
        build_graph(net, state, given=given, missing_data=missing_data)
        for net, state in zip(file.tests, file.test_states, strict=True)
    ]
    return train, tests


def seed_of_test_net(seed: int, index: int) -> int:
    """What the random draws of a solver's test net follow from; `seed` is the solver's."""
    return seeds.derive(seed, "test net", index)


def make_solver(
    file: SolverFile,
    *,
    device: torch.device | None = None,
    observed: bool = False,
    sinks: Sequence[Sink] = (),
    request: Request = nothing_asked,
    warn: Warn = silent,
    seed: int | None = None,
    loaded: Told = untold,
    on_nan: OnNan = "ignore",
) -> Solver:
    """A solver ready to train; its test nets use the train net's weights.

    Args:
        file: see :func:`read_solver`.
        seed: stands in for `random_seed` where the file leaves it out.
        loaded: told which layers of the train net got weights from each file.
        on_nan: what to do when training is not finite any more: "stop", "warn" or "ignore".

    Raises:
        CaffeliteError: with every fault of the first net that has any, or weights that do not fit.
    """
    from .solver import Solver

    settings = file.settings
    if settings.random_seed >= 0:
        seed = settings.random_seed
    seed = seeds.fresh() if seed is None else seed
    train_graph, test_graphs = solver_graphs(file)
    for fault in (*train_graph.warnings, *(fault for graph in test_graphs for fault in graph.warnings)):
        warn(fault)
    net = _run(train_graph, device, seed, observed)
    tests = [
        _run(graph, device, seed_of_test_net(seed, index), observed, share=net)
        for index, graph in enumerate(test_graphs)
    ]
    for path in settings.weights:
        loaded(path, net.load_weights(path))
        for test in tests:
            test.load_weights(path)  # for layers that only a test net has
    return Solver(settings, net, tests, sinks, request, on_nan)


def load_solver(
    path: str | os.PathLike[str],
    *,
    device: torch.device | None = None,
    observed: bool = False,
    warn: Warn = silent,
    **options: Any,
) -> Solver:
    """A solver file as a solver: :func:`read_solver` (which takes `options`), then :func:`make_solver`."""
    file = read_solver(path, **options)
    for fault in file.warnings:
        warn(fault)
    return make_solver(file, device=device, observed=observed, warn=warn)
