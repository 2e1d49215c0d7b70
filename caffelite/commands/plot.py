"""`caffelite plot`: curves of one or several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ._kit import debug_option, described


@described(
    "plot",
    "draw loss, test outputs and rate of one or several logs",
    [
        "caffelite plot lenet_run",
        "caffelite plot train.log --out lenet.svg",
        "caffelite plot old.log new.log --against seconds --log-scale",
    ],
    notes="A LOG is the text that a run (or the original Caffe) wrote to stderr, a log.jsonl, or a run folder.",
)
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOG...")
@click.option(
    "--out", default="plot.png", show_default=True, type=click.Path(path_type=Path), help="Picture: .png, .svg or .pdf."
)
@click.option(
    "--against",
    default="iterations",
    show_default=True,
    type=click.Choice(["iterations", "seconds"]),
    help="What the horizontal axis counts.",
)
@click.option("--log-scale", is_flag=True, help="Draw the loss on a logarithmic axis.")
@click.option("--title", default="", help="Heading; the names of the logs by default.")
@debug_option
def command(logs: tuple[Path, ...], out: Path, against: Any, log_scale: bool, title: str) -> None:
    from ..tools.plot import plot

    click.echo(f"drawn: {plot(logs, out, against, title=title, logarithmic=log_scale)}")
