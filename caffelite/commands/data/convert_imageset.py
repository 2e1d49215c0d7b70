"""`caffelite data convert-imageset`.  Source: `tools/convert_imageset.cpp`."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import UsageError
from .._kit import debug_option, described
from ._kit import PATH, force_option, progress, written_option


@described(
    "convert-imageset",
    "image files as a database, from a list or from a folder per class",
    [
        "caffelite data convert-imageset images/ train.txt train_lmdb --shuffle",
        "caffelite data convert-imageset images/ train.txt train_lmdb --resize_height=256 --resize_width=256",
        "caffelite data convert-imageset images/ train_lmdb",
    ],
    notes=(
        "A line of LISTFILE is a path relative to ROOT and a label (a whole number).  Without LISTFILE the folders in "
        "ROOT are the classes: sorted by name they are labels 0, 1, …, and labels.txt beside DB names them.  Keys are "
        "%08d_path.  Images that cannot be read are listed at the end; more of them than --max-bad are an error, and "
        "then nothing is written."
    ),
)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="ROOT [LISTFILE] DB")
@click.option("--gray", is_flag=True, help="Make all images gray, with one channel.")
@click.option("--shuffle", is_flag=True, help="Write the images in random order.")
@click.option("--seed", default=1, show_default=True, metavar="N", help="What the random order follows from.")
@written_option
@click.option("--resize_width", default=0, type=click.IntRange(0), metavar="N", help="Resize to this width (0: not).")
@click.option("--resize_height", default=0, type=click.IntRange(0), metavar="N", help="Resize to this height (0: not).")
@click.option("--check_size", is_flag=True, help="Fail where an image has another size than the first.")
@click.option("--encoded", is_flag=True, help="Keep images encoded; files that need no change as they are.")
@click.option("--encode_type", default="", metavar="png|jpg|…", help="Keep images encoded in this format.")
@click.option(
    "--max-bad",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Images that may be unreadable.",
)
@force_option
@debug_option
def command(
    paths: tuple[Path, ...], gray: bool, shuffle: bool, seed: int, backend: str, resize_width: int, resize_height: int,
    check_size: bool, encoded: bool, encode_type: str, max_bad: int, force: bool,
) -> None:  # fmt: skip
    if len(paths) not in (2, 3):
        raise UsageError(f"takes ROOT DB or ROOT LISTFILE DB, got {len(paths)} paths")
    if bool(resize_width) != bool(resize_height):
        raise UsageError("--resize_width and --resize_height go together: images are resized only where both are given")
    from ...tools.convert_imageset import LABELS, Options, convert, told

    resize = (resize_height, resize_width) if resize_height else None
    options = Options(
        "gray" if gray else "colour", resize, check_size, encoded, encode_type.lstrip(".").lower() or None
    )
    root, list_file, target = paths[0], paths[1] if len(paths) == 3 else None, paths[-1]
    made = convert(root, list_file, target, options, seed if shuffle else None, max_bad, force, progress(), backend)
    for fault in told(made.bad):
        click.echo(f"left out: {fault}", err=True)
    bad = f"; {len(made.bad)} could not be read" if made.bad else ""
    click.echo(f"{target}: {made.records} images{bad}")
    if made.classes:
        click.echo(f"{target.parent / LABELS}: {len(made.classes)} classes")
