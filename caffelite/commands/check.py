"""`caffelite check`: everything that is wrong with nets and solvers, without computing anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from ..errors import CaffeliteError, DataError, Fault, UsageError
from ._files import given_shapes, input_option, is_solver, unused_shapes
from ._kit import PHASES, debug_option, described, file_options, parts, python_option, state_options

if TYPE_CHECKING:
    from ..assembly import NetFile
    from ..graph import Graph

Shapes = dict[str, tuple[int, ...]]


@dataclass(slots=True)
class _Findings:
    """What was found in one file; the same thing found in two phases counts once, though its help may differ."""

    faults: dict[Fault, Fault] = field(default_factory=dict)
    about: list[str] = field(default_factory=list)

    def add(self, *faults: Fault) -> None:
        for fault in faults:
            self.faults.setdefault(replace(fault, help=None), fault)

    def count(self, severity: str) -> int:
        return sum(fault.severity == severity for fault in self.faults.values())


@described(
    "check",
    "say everything that is wrong with nets and solvers, without computing anything",
    [
        "caffelite check lenet_solver.prototxt",
        "caffelite check *.prototxt --strict",
        "caffelite check train_val.prototxt --phase TEST --input data=10x3x227x227",
    ],
    notes=(
        "A FILE is a net or a solver (with its nets).  Data that is not at hand is a warning; what follows from its "
        "shapes is then left out.  Exit status 1 if there are errors (with --strict: or warnings)."
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--phase", metavar="TRAIN|TEST", help="Look at nets in this phase only.")
@state_options
@file_options
@python_option
@input_option
@debug_option
def command(
    files: tuple[str, ...], phase: str | None, level: int, stage: str, sets: tuple[str, ...], strict: bool,
    allow_python: bool, shapes: tuple[str, ...],
) -> int:  # fmt: skip
    if phase is not None and phase not in PHASES:
        raise UsageError(f'--phase must be TRAIN or TEST, not "{phase}"')
    given, stages = given_shapes(shapes), ["", *parts(stage)]
    options = {"strict": strict, "sets": sets, "allow_python": allow_python}
    bad = False
    for path in files:
        found = _Findings()
        try:
            if is_solver(path):
                _check_solver(path, found, given, level=level, stages=stages, **options)
            else:
                phases = [PHASES[phase]] if phase else list(PHASES.values())
                _check_net(path, found, phases, level, stages, given, **options)
        except CaffeliteError as error:
            found.add(*error.faults)
        bad |= _report(path, found, strict)
    return int(bad)


def _check_solver(path: str, found: _Findings, given: Shapes, **options: Any) -> None:
    from ..assembly import counting, read_solver, watching

    file = read_solver(path, **options)
    found.add(*file.warnings)
    found.about.append(f"solver, {file.settings.type}, {file.settings.lr_policy} rate")
    train = _build(file.train, file.train_state, found, given)
    tests = [_build(net, state, found, given) for net, state in zip(file.tests, file.test_states, strict=True)]
    built = [graph for graph in tests if graph is not None]
    with _adding(found):
        if len(built) == len(tests):
            watching(file.settings, built, file.places)
    with _adding(found), suppress(DataError):  # that data is missing was said when the net was built
        if train is not None:
            _, notes = counting(file.settings, train, file.places)
            found.about += [note.message for note in notes]


@contextmanager
def _adding(found: _Findings) -> Iterator[None]:
    try:
        yield
    except CaffeliteError as error:
        found.add(*error.faults)


def _check_net(
    path: str, found: _Findings, phases: list[int], level: int, stages: list[str], given: Shapes, **options: Any
) -> None:
    from ..assembly import read_net
    from ..graph import state_of

    net = read_net(path, **options)
    found.add(*net.warnings)
    states = [state_of(net.message, phase, level, stages) for phase in phases]
    fed = [state for state in states if _has_data(net, state)]
    for state in fed or states:  # a net for one phase only has nothing to read in the other
        _build(net, state, found, given)


def _has_data(net: NetFile, state: Any) -> bool:
    from ..graph.filtering import included

    return any(not layer.bottom and included(layer, state) for layer in net.message.layer)


def _build(net: NetFile, state: Any, found: _Findings, given: Shapes) -> Graph | None:
    from ..assembly import build_graph
    from ..proto import Phase

    phase = Phase.Name(state.phase)
    try:
        graph = build_graph(net, state, given=given, missing_data=True)
    except CaffeliteError as error:
        found.add(*error.faults)
        return None
    found.add(*graph.warnings, *unused_shapes(graph, given))
    layers = sum(node.type != "Split" for node in graph.nodes)
    found.about.append(f'net "{graph.name}" in {phase}: {layers} layer{"s" * (layers != 1)}')
    return graph


def _report(path: str, found: _Findings, strict: bool) -> bool:
    """Print what was found; True where the file is to be refused."""
    for fault in found.faults.values():
        placed = fault.place is not None and str(fault.place)
        click.echo(str(fault) if placed else f"{path}: {fault}")
    errors, warnings = found.count("error"), found.count("warning")
    bad = errors > 0 or (strict and warnings > 0)
    counted = ", ".join(
        f"{count} {noun}{'s' * (count != 1)}" for count, noun in ((errors, "error"), (warnings, "warning")) if count
    )
    if bad:
        click.echo(f"{path}: {counted}")
    else:
        about = "; ".join(dict.fromkeys(found.about))
        click.echo(f"{path}: ok{f' ({counted})' if counted else ''}: {about}")
    return bad
