"""`caffelite data`: data sets, ready to train on.  One thin file a subcommand, found as the commands themselves are."""

from __future__ import annotations

import click

from .._kit import PackageGroup


class Subcommands(PackageGroup):
    """The subcommands of this package."""

    package = __name__
    before = "data "


@click.group(
    "data",
    cls=Subcommands,
    summary="get data sets, look into them, bring them into the form that nets read",
    examples=[
        "caffelite data mnist data/mnist",
        "caffelite data convert-imageset photos/ photos_lmdb",
        "caffelite data info photos_lmdb --picture first.png",
        "caffelite data preview train_val.prototxt -o seen.png",
    ],
)
def command() -> None:
    pass
