"""`caffelite summary`: a net as a table, one row a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ._files import given_shapes, input_option, is_solver, unused_shapes
from ._kit import PHASES, debug_option, described, file_options, parts, python_option, state_options

if TYPE_CHECKING:
    from ..graph import Graph, Node


@described(
    "summary",
    "show a net as a table: shapes, parameters, multiply-adds, memory",
    [
        "caffelite summary lenet_train_test.prototxt",
        "caffelite summary lenet_solver.prototxt",
        "caffelite summary train_val.prototxt --phase TEST --input data=10x3x227x227",
    ],
    notes=(
        "FILE is a net, or a solver, whose train net is shown.  Multiply-adds are those of one forward pass, of matrix "
        "work only; parameters are what a snapshot holds, BatchNorm's statistics included; activations are what the "
        "layer's tops take up in single precision (nothing, where they are made in place)."
    ),
)
@click.argument("file")
@click.option("--phase", default="TRAIN", show_default=True, metavar="TRAIN|TEST", help="Phase of the net.")
@state_options
@file_options
@python_option
@input_option
@debug_option
def command(
    file: str, phase: str, level: int, stage: str, sets: tuple[str, ...], strict: bool, allow_python: bool,
    shapes: tuple[str, ...],
) -> None:  # fmt: skip
    from ..tools.summary import fixed_parameters, table

    if phase not in PHASES:
        raise UsageError(f'--phase must be TRAIN or TEST, not "{phase}"')
    given = given_shapes(shapes)
    graph = _graph(
        file, PHASES[phase], level, ["", *parts(stage)], given, sets=sets, strict=strict, allow_python=allow_python
    )
    for fault in (*graph.warnings, *unused_shapes(graph, given)):
        click.echo(str(fault), err=True)
    click.echo(f'net "{graph.name}", {phase}, from {file}\n')
    click.echo(table(graph))
    fixed = fixed_parameters(graph)
    if fixed:
        click.echo(f"\nof these parameters {fixed:,} are not learned (lr_mult: 0, as BatchNorm's statistics)")
    unknown = [blob for node in graph.nodes if not node.reads for blob in _unknown(graph, node)]
    if unknown:
        options = " ".join(f"--input {blob}=…" for blob in unknown)
        click.echo(f'\n"?" and what follows from it is not in the sums; say the shapes: {options}')


def _graph(path: str, phase: int, level: int, stages: list[str], given: Any, **options: Any) -> Graph:
    from ..assembly import build_graph, read_net, read_solver
    from ..graph import state_of

    if not is_solver(path):
        net = read_net(path, **options)
        return build_graph(net, state_of(net.message, phase, level, stages), given=given, missing_data=True)
    solver = read_solver(path, level=level, stages=stages, **options)
    if phase == PHASES["TRAIN"]:
        return build_graph(solver.train, solver.train_state, given=given, missing_data=True)
    if not solver.tests:
        raise UsageError("the solver has no test net")
    return build_graph(solver.tests[0], solver.test_states[0], given=given, missing_data=True)


def _unknown(graph: Graph, node: Node) -> list[str]:
    return [blob for blob, value in zip(node.tops, node.writes, strict=True) if graph.values[value].shape is None]
