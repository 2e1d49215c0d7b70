"""`caffelite summary`: a net as a table, one row a layer."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..errors import UsageError
from ._files import given_shapes, input_option, is_solver, unused_shapes
from ._kit import PHASES, debug_option, described, file_options, parts, python_option, state_options

if TYPE_CHECKING:
    from ..graph import Graph, Node

BYTES = 4
"""Of a number: nets compute in single precision."""


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
    fixed = _fixed_parameters(graph)
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


class Row(NamedTuple):
    """One line of the table, as text."""

    layer: str
    type: str
    shapes: str
    parameters: str
    multiply_adds: str
    activations: str


HEAD = Row("layer", "type", "output", "parameters", "multiply-adds", "activations")


class _Totals:
    parameters = multiply_adds = activations = 0


def _own_parameters(graph: Graph, node: Node) -> int:
    return sum(prod(graph.weights[index].shape) for index in node.weights if graph.weights[index].owner == index)


def _fixed_parameters(graph: Graph) -> int:
    """How many of the parameters no solver changes."""
    owners = (graph.weights[index] for index in graph.owners())
    return sum(prod(weight.shape) for weight in owners if weight.lr_mult == 0)


def _row(graph: Graph, node: Node, totals: _Totals) -> Row:
    tops = [graph.values[index].shape for index in node.writes]
    bottoms = [graph.values[index].shape if index >= 0 else None for index in node.reads]
    text = ", ".join("?" if shape is None else "x".join(map(str, shape)) or "scalar" for shape in tops)
    known = node.layer is not None and None not in tops and None not in bottoms
    parameters = _own_parameters(graph, node)
    work = node.layer.multiply_adds(bottoms, tops) if known else 0
    memory = sum(
        prod(shape) * BYTES
        for blob, shape in zip(node.tops, tops, strict=True)
        if shape is not None and blob not in node.bottoms
    )
    totals.parameters += parameters
    totals.multiply_adds += work
    totals.activations += memory
    shared = bool(node.weights) and all(graph.weights[index].owner != index for index in node.weights)
    return Row(
        node.name,
        node.type,
        text,
        "shared" if shared else f"{parameters:,}" if parameters else "",
        f"{work:,}" if work else "",
        size(memory) if memory else "",
    )


def size(count: int) -> str:
    """Bytes for people: "196.0 KiB"."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def table(graph: Graph) -> str:
    """The net as aligned text, a line a layer, totals last.  Splits, which cost nothing, are left out."""
    totals = _Totals()
    rows = [_row(graph, node, totals) for node in graph.nodes if not getattr(node.layer, "sharing_bottoms", False)]
    last = Row(
        f"{len(rows)} layers", "", "", f"{totals.parameters:,}", f"{totals.multiply_adds:,}", size(totals.activations)
    )
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, last, strict=True)]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([_line(HEAD, widths), rule, *(_line(row, widths) for row in rows), rule, _line(last, widths)])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    left = [f"{cell:<{width}}" for cell, width in zip(row[:3], widths[:3], strict=True)]
    right = [f"{cell:>{width}}" for cell, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join([*left, *right]).rstrip()
