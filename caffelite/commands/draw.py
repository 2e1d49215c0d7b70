"""`caffelite draw`: a net as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import Fault, UsageError
from ._files import given_shapes, input_option, is_solver
from ._kit import PHASES, debug_option, described, file_options, parts, python_option, state_options

if TYPE_CHECKING:
    from ..assembly import NetFile


@described(
    "draw",
    "draw a net as a picture: layers, what they read, settings and shapes",
    [
        "caffelite draw lenet_train_test.prototxt -o lenet.svg",
        "caffelite draw train_val.prototxt net.png --rankdir LR --phase TEST --display_lrm",
        "caffelite draw lenet_solver.prototxt -o lenet.png --phase TRAIN --input data=64x1x28x28",
    ],
    notes=(
        "NET is a net, or a solver, whose nets are drawn: with --phase TEST the first test net, else the train net.  "
        "PICTURE ends in .svg, .png, .jpg or .pdf; in an .svg, pointing at a layer shows all of its settings.  Layers "
        "that work in place stand in the box of the layer whose blob they change.  Without --phase the whole file is "
        "drawn, whatever phase, level or stage layers belong to.  Shapes stand where a layer changes them, as far as "
        "they are known without data; --input tells those of data layers."
    ),
)
@click.argument("net")
@click.argument("picture", required=False, type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="PICTURE", help="The picture, if not said.")
@click.option(
    "--rankdir",
    default="TB",
    show_default=True,
    metavar="TB|BT|LR|RL",
    help="Where edges lead: top to bottom, bottom to top, left to right, right to left.",
)
@click.option(
    "--phase", default="ALL", show_default=True, metavar="TRAIN|TEST|ALL", help="Phase of the net, or all its layers."
)
@click.option("--display_lrm", is_flag=True, help="Tell the lr_mult of layers that learn.")
@state_options
@file_options
@python_option
@input_option
@debug_option
def command(
    net: str, picture: Path | None, output: Path | None, rankdir: str, phase: str, display_lrm: bool, level: int,
    stage: str, sets: tuple[str, ...], strict: bool, allow_python: bool, shapes: tuple[str, ...],
) -> None:  # fmt: skip
    if phase not in (*PHASES, "ALL"):
        raise UsageError(f'--phase must be TRAIN, TEST or ALL, not "{phase}"')
    if (picture is None) == (output is None):
        what = "there is no picture to write" if output is None else f"two pictures are named: {picture} and {output}"
        raise UsageError(what, help=f"caffelite draw {net} -o {Path(net).stem}.svg")
    from ..tools.drawing import draw_to_file

    told = dict[str, None]()

    def warn(fault: Fault) -> None:
        if str(fault) not in told:
            told[str(fault)] = None
            click.echo(str(fault), err=True)

    file, state = _net(net, PHASES.get(phase), level, parts(stage), sets=sets, strict=strict, allow_python=allow_python)
    drawn = draw_to_file(
        file, picture or output or "", rankdir, given=given_shapes(shapes), display_lrm=display_lrm, warn=warn, **state
    )
    click.echo(f"drawn: {drawn}")


def _net(path: str, phase: int | None, level: int, stages: list[str], **options: Any) -> tuple[NetFile, dict[str, Any]]:
    """The net of a file, and the state or states to draw it in."""
    from ..assembly import read_net, read_solver

    if not is_solver(path):
        return read_net(path, **options), {"phase": phase, "level": level or None, "stages": stages}
    solver = read_solver(path, level=level, stages=stages, **options)
    if phase == PHASES["TEST"]:
        if not solver.tests:
            raise UsageError("the solver has no test net")
        return solver.tests[0], {"states": solver.test_states[:1]}
    states = [solver.train_state]
    if phase is None:
        states += [state for net, state in zip(solver.tests, solver.test_states, strict=True) if net is solver.train]
    return solver.train, {"states": states}
