"""Solver file → Solver."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from .. import prototxt
from ..data.telling import find
from ..errors import Fault, Places, nowhere
from ..proto import TEST, TRAIN, NetState, SolverParameter
from ..runtime import seeds
from ..upgrade import upgrade_solver
from .nets import NetFile, Told, Warn, build_graph, copied, read_net, silent, untold, upgraded
from .settled import counting, watching

if TYPE_CHECKING:
    import torch

    from ..solver import Settings, Solver
    from ..solver.watch import OnNan


@dataclass(slots=True)
class SolverFile:
    """A solver as read and checked, and the nets it names.

    Attributes:
        message: the upgraded SolverParameter, with everything the command line put over it.
        settings: the same, checked as far as its nets need not be known.
        train, tests: its nets, and the states to build them in (`train_state`, `test_states`).
        warnings: what is odd about any of these files.
        path, places: its file, and where its fields stand in it.
    """

    message: Any
    settings: Settings
    train: NetFile
    train_state: Any
    tests: list[NetFile]
    test_states: list[Any]
    warnings: list[Fault] = field(default_factory=list)
    path: str | None = None
    places: Places = nowhere


def read_solver(
    path: str | os.PathLike[str] | Message,
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
        path: the solver's prototxt, of any age, or a SolverParameter, which is not changed.
        strict: warnings of the files are errors.
        sets: assignments put over the files; one that starts with `layer[` is put over the nets.
        level, stages: added to `train_state`, as the original's command line does.
        weights: take the place of the file's `weights`.
        allow_python: Python layers of the nets may run.

    Raises:
        PrototxtError, UpgradeError, SettingsError: with every fault of the file that has any.
    """
    from ..solver import Settings  # a net alone does without its room

    if isinstance(path, Message):
        name, text = None, copied(path, SolverParameter)
    else:
        name = os.fspath(path)
        text = prototxt.load(name, SolverParameter, strict=strict)
    beside = None if name is None else Path(name).parent
    today = upgrade_solver(text.message, text.places)
    text = replace(text, message=today.message, places=today.places)
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
            inside = replace(prototxt.Loaded.of(value), places=prototxt.sub(text.places, place))
            return upgraded(inside, name, strict=strict, sets=net_sets, allow_python=allow_python)
        if value not in read:
            where = find(value, beside)
            read[value] = read_net(where, strict=strict, sets=net_sets, allow_python=allow_python)
        return read[value]

    train = net(*settings.train_net)
    counts: dict[str, int] = {}
    tests = []
    for test in settings.test_nets:
        index = counts[test.kind] = counts.get(test.kind, -1) + 1
        tests.append(net(test.kind, test.value, index if test.kind == "test_net_param" else None))
    warnings = [*text.warnings, *today.notes, *settings.notes, *settings.warnings]
    for file in {id(file): file for file in (train, *tests)}.values():
        warnings += file.warnings
    return SolverFile(
        message,
        settings,
        train,
        merged(TRAIN, train.message.state, settings.train_state),
        tests,
        [merged(TEST, file.message.state, test.state) for file, test in zip(tests, settings.test_nets, strict=True)],
        warnings,
        name,
        text.places,
    )


def merged(phase: int, own: Any, more: Any) -> Any:
    """The state of one of a solver's nets: the net's own, then the solver's (`Solver::InitTrainNet`)."""
    state = NetState(phase=phase)
    state.MergeFrom(own)
    if more is not None:
        state.MergeFrom(more)
    return state


def seed_of_test_net(seed: int, index: int) -> int:
    """What the random draws of a solver's test net follow from; `seed` is the solver's."""
    return seeds.derive(seed, "test net", index)


def make_solver(
    file: SolverFile,
    *,
    device: torch.device | None = None,
    observed: bool = False,
    warn: Warn = silent,
    seed: int | None = None,
    loaded: Told = untold,
    on_nan: OnNan = "ignore",
    resuming: bool = False,
) -> Solver:
    """A solver ready to train; its test nets use the train net's weights.

    Args:
        file: see :func:`read_solver`.
        seed: stands in for `random_seed` where the file leaves it out.
        loaded: told which layers of the train net got weights from each file.
        on_nan: what to do when training is not finite any more: "stop", "warn" or "ignore".
        resuming: the train net's weights are going to come from a snapshot: `weights` are for layers that only a test
            net has.

    Raises:
        CaffeliteError: with every fault of the first net that has any, or of settings that do not fit the nets, or
            weights that do not fit.
    """
    from ..net import Net
    from ..solver import Solver

    settings = file.settings
    if settings.random_seed >= 0:
        seed = settings.random_seed
    seed = seeds.fresh() if seed is None else seed
    train_graph = build_graph(file.train, file.train_state)
    test_graphs = [build_graph(net, state) for net, state in zip(file.tests, file.test_states, strict=True)]
    settings, notes = counting(watching(settings, test_graphs, file.places), train_graph, file.places)
    for fault in (*train_graph.warnings, *(fault for graph in test_graphs for fault in graph.warnings), *notes):
        warn(fault)
    net = Net(train_graph, device, seed, observed=observed, precision=settings.precision)
    if settings.precision == SolverParameter.TF32 and net.run.device.type == "cpu":
        text = "precision TF32 has no effect on the CPU, which computes in single precision"
        warn(Fault(text, file.places("precision"), severity="warning", code="CL510"))
    tests = [
        Net(graph, device, seed_of_test_net(seed, index), observed=observed, share=net)
        for index, graph in enumerate(test_graphs)
    ]
    trained = {parameter.memory for parameter in net.parameters}
    alone = [test for test in tests if any(parameter.memory not in trained for parameter in test.parameters)]
    for path in settings.weights:
        if not resuming:
            loaded(path, net.load_weights(path))
        for test in alone:
            test.load_weights(path)
    return Solver(settings, net, tests, on_nan=on_nan)


def load_solver(
    path: str | os.PathLike[str] | Message,
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
