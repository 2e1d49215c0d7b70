"""`caffelite data cifar10`."""

from __future__ import annotations

from pathlib import Path

import click

from .._kit import debug_option, described
from ._kit import PATH, force_option, progress, written_option


@described(
    "cifar10",
    "CIFAR-10 as two databases: cifar10_train_lmdb and cifar10_test_lmdb",
    [
        "caffelite data cifar10 data/cifar10",
        "caffelite data cifar10 data/cifar10 --from ~/Downloads",
        "caffelite data cifar10 data/cifar10 --backend leveldb",
    ],
    notes=(
        "cifar-10-binary.tar.gz (whose checksum is verified), or the .bin files out of it, are taken from --from, else "
        "from $CAFFELITE_DATASETS/cifar10; else the archive, 162 MiB, is downloaded. Databases that are there already "
        "and whole are kept. LevelDBs are called …_leveldb. The channels are R, G, B, as the original's converter "
        "leaves them."
    ),
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--from", "source", type=PATH, metavar="FOLDER", help="Where the archive or its files lie already.")
@written_option
@force_option
@debug_option
def command(folder: Path, source: Path | None, backend: str, force: bool) -> None:
    from ...tools import cifar10

    made = cifar10.build(folder, source, force, progress(), backend=backend)
    if made["source"]:
        click.echo(f"read from {made['source']}")
    for found in made["databases"].values():
        click.echo(f"{found['path']}: {found['records']} images{' (kept)' if found['kept'] else ''}")
