"""`caffelite check`: everything that is wrong with nets and solvers, without computing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ._files import given_shapes, input_option, is_solver
from ._kit import PHASES, debug_option, described, file_options, parts, python_option, state_options

if TYPE_CHECKING:
    from ..lint import Report


@described(
    "check",
    "say everything that is wrong with nets and solvers, without computing anything",
    [
        "caffelite check lenet_solver.prototxt",
        "caffelite check *.prototxt --strict",
        "caffelite check train_val.prototxt --phase TEST --input data=10x3x227x227",
        "caffelite check deploy.prototxt --weights lenet_iter_10000.caffemodel",
        "caffelite check *.prototxt --format github",
    ],
    notes=(
        "A FILE is a net or a solver (with its nets).  Data that is not at hand is a warning; what follows from its "
        "shapes is then left out.  Each finding has a code, which `caffelite explain CODE` explains.  Exit status 1 if "
        "there are errors (with --strict: or warnings).  --format json prints an object a line for each finding: file, "
        "line, column, code, severity, layer, message, help; --format github prints what GitHub shows beside the lines "
        "of a pull request."
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--phase", metavar="TRAIN|TEST", help="Look at nets in this phase only.")
@click.option("--weights", metavar="FILES", default="", help="Do these weights fit?  Files, separated by commas.")
@click.option("--format", "form", metavar="text|json|github", default="text", help="How findings are printed.")
@state_options
@file_options
@python_option
@input_option
@debug_option
def command(
    files: tuple[str, ...], phase: str | None, weights: str, form: str, level: int, stage: str, sets: tuple[str, ...],
    strict: bool, allow_python: bool, shapes: tuple[str, ...],
) -> int:  # fmt: skip
    from ..lint import Options, check
    from ..lint.formats import FORMATS

    if phase is not None and phase not in PHASES:
        raise UsageError(f'--phase must be TRAIN or TEST, not "{phase}"')
    if form not in FORMATS:
        raise UsageError(f'--format must be {", ".join([*FORMATS][:-1])} or {[*FORMATS][-1]}, not "{form}"')
    options = Options(
        phases=tuple(PHASES.values()) if phase is None else (PHASES[phase],),
        level=level,
        stages=("", *parts(stage)),
        sets=sets,
        allow_python=allow_python,
        shapes=given_shapes(shapes),
        weights=tuple(parts(weights)),
    )
    bad = False
    for path in files:
        report = check(path, is_solver(path), options)
        for fault in report.faults:
            click.echo(FORMATS[form](fault, path))
        refused = report.count("error") > 0 or (strict and report.count("warning") > 0)
        if form == "text":
            click.echo(_summary(report, refused))
        bad |= refused
    return int(bad)


def _summary(report: Report, refused: bool) -> str:
    counts = [(report.count("error"), "error"), (report.count("warning"), "warning")]
    counted = ", ".join(f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts if count)
    if refused:
        return f"{report.path}: {counted}"
    about = "; ".join(dict.fromkeys(report.about))
    return f"{report.path}: ok{f' ({counted})' if counted else ''}: {about}"
