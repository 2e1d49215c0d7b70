"""`caffelite data mnist`."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import CaffeliteError
from .._kit import debug_option, described
from ._kit import PATH, force_option, progress, written_option


@described(
    "mnist",
    "MNIST as two databases: mnist_train_lmdb and mnist_test_lmdb",
    [
        "caffelite data mnist data/mnist",
        "caffelite data mnist data/mnist --from ~/Downloads",
        "caffelite data mnist data/mnist --backend leveldb",
        "caffelite data mnist data/mnist --or-digits",
    ],
    notes=(
        "The four files (gzipped or not) are taken from --from, else from $CAFFELITE_DATASETS/mnist, else downloaded; "
        "their checksums are verified. Databases that are there already and whole are kept. LevelDBs are called "
        "…_leveldb."
    ),
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--from", "source", type=PATH, metavar="FOLDER", help="Where the four files lie already.")
@written_option
@force_option
@click.option(
    "--or-digits",
    is_flag=True,
    help="Where MNIST cannot be had, make digits_train_… and digits_test_… from scikit-learn's small data set.",
)
@debug_option
def command(folder: Path, source: Path | None, backend: str, force: bool, or_digits: bool) -> None:
    from ...tools import digits, mnist

    show = progress()
    try:
        made = mnist.build(folder, source, force, show, backend=backend)
    except CaffeliteError as error:
        if not or_digits:
            raise
        click.echo(
            f"{error}\n\nMNIST CANNOT BE HAD HERE; using scikit-learn's 1797 handwritten digits instead", err=True
        )
        made = digits.build(folder, force, show, backend)
    if made.get("source"):
        click.echo(f"read from {made['source']}")
    for found in made["databases"].values():
        click.echo(f"{found['path']}: {found['records']} digits{' (kept)' if found['kept'] else ''}")
