"""`caffelite deploy`: the net to use, made of the net that was trained."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import UsageError
from ._files import given_shapes, input_option, is_solver, unused_shapes
from ._kit import debug_option, described, file_options, parts, python_option, state_options


@described(
    "deploy",
    "make the net to use of the net that was trained: data and losses out, Input in, Softmax on",
    [
        "caffelite deploy lenet_train_test.prototxt -o lenet.prototxt",
        "caffelite deploy train_val.prototxt -o deploy.prototxt --input data=10x3x227x227 --batch 10",
        "caffelite deploy train_val.prototxt --output fc7",
    ],
    notes="FILE is a net, or a solver, whose train net is taken; what counts is its TEST phase.  Weights trained with "
    "the one fit the other, layer by layer.  Without -o the text goes to stdout.  What data layers did to the images "
    "stands in a comment: it is for the user of the net to do.",
)
@click.argument("file")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to write the net.")
@click.option("--output", "outputs", default="", metavar="A,B", help="The blobs it is to give; else its predictions.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Samples in a batch.  [default: 1]")
@state_options
@file_options
@python_option
@input_option
@debug_option
def command(
    file: str, out: Path | None, outputs: str, batch: int | None, level: int, stage: str, sets: tuple[str, ...],
    strict: bool, allow_python: bool, shapes: tuple[str, ...],
) -> None:  # fmt: skip
    from ..assembly import NetFile, build_graph, read_net, read_solver
    from ..graph import state_of
    from ..proto import TEST
    from ..snapshot.atomic import write_atomic
    from ..tools.deploy import deploy

    given = given_shapes(shapes)
    options = {"sets": sets, "strict": strict, "allow_python": allow_python}
    net = read_solver(file, **options).train if is_solver(file) else read_net(file, **options)  # type: ignore[arg-type]
    graph = build_graph(net, state_of(net.message, TEST, level, ["", *parts(stage)]), given=given, missing_data=True)
    made = deploy(graph, parts(outputs), batch or 1, Path(file).name)
    build_graph(NetFile(made.message), state_of(made.message, TEST))
    for fault in (*unused_shapes(graph, given), *made.notes):
        click.echo(str(fault), err=True)
    if out is None:
        click.echo(made.text, nl=False)
        return
    if out.exists() and out.samefile(file):
        raise UsageError(f"{out} is the net that was trained", help="give the net to use a name of its own")
    write_atomic(out, lambda stream: stream.write(made.text.encode("utf-8", "surrogateescape")))
    click.echo(f"written: {out}")
