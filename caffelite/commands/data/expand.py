"""`caffelite data expand`."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import UsageError
from .._kit import debug_option, described
from ._kit import PATH, force_option, progress, written_option


@described(
    "expand",
    "a database made larger: every image several times, moved or distorted",
    [
        "caffelite data expand mnist_train_lmdb x5_lmdb --shifts 1",
        "caffelite data expand train_lmdb x9_lmdb --copies 8 --augmentation 'rotation: 15 elastic_alpha: 34'",
        "caffelite data expand train_lmdb x8_lmdb --copies 7 --augmentation 'shift: 4 hue: 20' --in-order",
    ],
    notes=(
        "SRC is an LMDB or a LevelDB.  DST holds every image as it is, moved, and augmented, with its label; encoded "
        "images become pixels, augmented bytes are rounded, a cutout is black.  It is shuffled: round after round, as "
        "many as there are variants of an image, every image comes once, in another variant each time, so that a Data "
        "layer may read it as it stands.  Meanwhile the disk of DST must have room for the pixels of SRC too, where "
        "they exceed 256 MiB.  Keys are %08d_key: the new number and SRC's key.  To change images anew in every epoch "
        "of training instead, say transform_param { augmentation { … } } in the net."
    ),
)
@click.argument("source", type=PATH, metavar="SRC")
@click.argument("target", type=PATH, metavar="DST")
@click.option(
    "--shifts",
    default=0,
    type=click.IntRange(0),
    metavar="N",
    help="Add each image moved by 1 … N whole pixels to the left, to the right, up and down: 4 N more.",
)
@click.option(
    "--border",
    type=click.Choice(["EDGE", "ZERO", "REFLECT"]),
    help="What comes in at the edge of images that --shifts moves: the edge continued (the default), zeros, or the "
    "image mirrored.",
)
@click.option("--copies", default=0, type=click.IntRange(0), metavar="K", help="Add K images augmented by chance.")
@click.option(
    "--augmentation",
    metavar="TEXT",
    help="How --copies are augmented: what a net would say in transform_param { augmentation { … } }, without "
    "the braces.",
)
@click.option("--seed", default=1, show_default=True, metavar="N", help="What order and augmentation follow from.")
@click.option("--in-order", is_flag=True, help="Keep SRC's order, the variants of an image side by side.")
@written_option
@force_option
@debug_option
def command(
    source: Path, target: Path, shifts: int, border: str | None, copies: int, augmentation: str | None, seed: int,
    in_order: bool, backend: str, force: bool,
) -> None:  # fmt: skip
    if not shifts and not copies:
        raise UsageError("nothing to add: say --shifts N, or --copies K with --augmentation")
    if bool(copies) != (augmentation is not None):
        raise UsageError("--copies and --augmentation go together: how many, and how they differ")
    if border and not shifts:
        raise UsageError("--border is for --shifts", help=f"--augmentation has its own: '… border: {border}'")
    from ...proto import AugmentationParameter
    from ...tools.expand import expand
    from ...tools.variants import Variants

    variants = Variants(
        shifts, AugmentationParameter.Border.Value(border or "EDGE"), copies, augmentation or "", seed,
        warn=lambda fault: click.echo(str(fault), err=True),
    )  # fmt: skip
    records = expand(source, target, variants, in_order, force, progress(), backend)
    click.echo(f"{target}: {records} images, {len(variants)} of each in {source}")
