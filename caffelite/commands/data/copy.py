"""`caffelite data copy`."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import UsageError
from .._kit import debug_option, described
from ._kit import PATH, force_option, progress


@described(
    "copy",
    "a data set in another form: database, HDF5 file, folder of images",
    [
        "caffelite data copy train_leveldb train_lmdb",
        "caffelite data copy train_lmdb train.h5",
        "caffelite data copy train_lmdb images --to images",
    ],
    notes=(
        "SRC is an LMDB, a LevelDB, an HDF5 file with data sets data and label, or a folder of images with list.txt or "
        "with a folder per class.  What DST becomes follows from its name (.h5, …lmdb, …leveldb) or --to.  From "
        "database to database keys and values stay byte for byte what they are.  Else pixels and labels do: encoded "
        "images become pixels, and keys of a database are numbered.  An HDF5Data layer's source is a text file that "
        "lists HDF5 files; an ImageData layer's is list.txt, with the folder as root_folder."
    ),
)
@click.argument("source", type=PATH, metavar="SRC")
@click.argument("target", type=PATH, metavar="DST")
@click.option("--to", type=click.Choice(["lmdb", "leveldb", "hdf5", "images"]), help="What DST becomes.")
@force_option
@debug_option
def command(source: Path, target: Path, to: str | None, force: bool) -> None:
    from ...tools.copying import copy, form_of

    form = to or form_of(target)
    if form is None:
        raise UsageError(
            f'the name "{target}" does not say what it is to be', help="say --to lmdb, leveldb, hdf5 or images"
        )
    copied = copy(source, target, form, force, progress())
    for what in copied.left_out:
        click.echo(f"left out: {what}", err=True)
    click.echo(f"{target}: {copied.records} records ({form})")
