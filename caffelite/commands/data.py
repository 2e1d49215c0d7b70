"""`caffelite data`: data sets, ready to train on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..errors import CaffeliteError
from ._kit import Formatted, FormattedGroup, debug_option


@click.group(
    "data",
    cls=FormattedGroup,
    summary="get data sets and bring them into the form that nets read",
    examples=["caffelite data mnist data/mnist"],
)
def command() -> None:
    pass


@command.command(
    "mnist",
    cls=Formatted,
    summary="MNIST as two LMDBs: mnist_train_lmdb and mnist_test_lmdb",
    examples=[
        "caffelite data mnist data/mnist",
        "caffelite data mnist data/mnist --from ~/Downloads",
        "caffelite data mnist data/mnist --or-digits",
    ],
    notes=(
        "The four files (gzipped or not) are taken from --from, else from $CAFFELITE_DATASETS/mnist, else downloaded; "
        "their checksums are verified. Databases that are there already and whole are kept."
    ),
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--from", "source", type=click.Path(path_type=Path), metavar="FOLDER", help="Where the four files lie already."
)
@click.option("--force", is_flag=True, help="Write the databases anew, over those that are there.")
@click.option(
    "--or-digits",
    is_flag=True,
    help="Where MNIST cannot be had, make digits_train_lmdb and digits_test_lmdb from scikit-learn's small data set.",
)
@debug_option
def mnist(folder: Path, source: Path | None, force: bool, or_digits: bool) -> None:
    from ..tools import digits
    from ..tools import mnist as real

    progress = _progress()
    try:
        made = real.build(folder, source, force, progress)
    except CaffeliteError as error:
        if not or_digits:
            raise
        click.echo(
            f"{error}\n\nMNIST CANNOT BE HAD HERE; using scikit-learn's 1797 handwritten digits instead", err=True
        )
        made = digits.build(folder, force, progress)
    if made.get("source"):
        click.echo(f"read from {made['source']}")
    for found in made["databases"].values():
        click.echo(f"{found['path']}: {found['records']} digits{' (kept)' if found['kept'] else ''}")


def _progress() -> Callable[..., Any] | None:
    """Shows how far the work is, where somebody looks."""
    from ..logs.progress import wanted

    if not wanted():
        return None

    def show(what: str, done: int, total: int | None) -> None:
        share = f"{100 * done // total:3d} %" if total else f"{done:,}"
        click.echo(f"\r\x1b[K{what}: {share}", nl=done == total, err=True)
        sys.stderr.flush()

    return show
