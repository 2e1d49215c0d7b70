"""`caffelite data info`."""

from __future__ import annotations

from pathlib import Path

import click

from .._kit import debug_option, described
from ._kit import PATH, backend_option, name_range, progress, rgb_option


@described(
    "info",
    "what is in a data set: records, shapes, labels, keys",
    [
        "caffelite data info mnist_train_lmdb",
        "caffelite data info train.h5",
        "caffelite data info mnist_train_lmdb --picture first.png --first 100",
    ],
    notes=(
        "PATH is an LMDB, a LevelDB, an HDF5 file, or a folder of images with list.txt or with a folder per class.  "
        "Every record is looked at; of encoded images only the header.  Exit status 1 if any are damaged."
    ),
)
@click.argument("path", type=PATH)
@click.option("--picture", type=PATH, metavar="FILE", help="Draw the first records into this file, a .png or the like.")
@click.option("--first", default=64, show_default=True, type=click.IntRange(1), metavar="N", help="So many of them.")
@rgb_option
@backend_option
@debug_option
def command(path: Path, picture: Path | None, first: int, rgb: bool, backend: str | None) -> None:
    from ...errors import DataError
    from ...tools.info import describe, write_first

    info = describe(path, backend, progress())
    for line in info.lines():
        click.echo(line)
    if info.damaged:
        raise DataError(info.damaged)
    if picture:
        low, high = write_first(path, picture, first, rgb)
        click.echo(f"picture  {picture}: values {name_range(low, high)}")
