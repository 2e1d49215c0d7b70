"""`caffelite data info`."""

from __future__ import annotations

from pathlib import Path

import click

from .._kit import debug_option, described
from ._kit import PATH, backend_option, name_range, progress, rgb_option


@described(
    "info",
    "what is in a database: records, shapes, labels, keys",
    [
        "caffelite data info mnist_train_lmdb",
        "caffelite data info mnist_train_lmdb --picture first.png --first 100",
    ],
    notes="Every record is looked at; of encoded images only the header.  Exit status 1 if any are damaged.",
)
@click.argument("db", type=PATH)
@click.option("--picture", type=PATH, metavar="FILE", help="Draw the first records into this file, a .png or the like.")
@click.option("--first", default=64, show_default=True, type=click.IntRange(1), metavar="N", help="So many of them.")
@rgb_option
@backend_option
@debug_option
def command(db: Path, picture: Path | None, first: int, rgb: bool, backend: str | None) -> None:
    from ...errors import DataError
    from ...tools.info import describe, write_first

    info = describe(db, backend, progress())
    for line in info.lines():
        click.echo(line)
    if info.damaged:
        raise DataError(info.damaged)
    if picture:
        low, high = write_first(db, picture, first, backend, rgb)
        click.echo(f"picture  {picture}: values {name_range(low, high)}")
