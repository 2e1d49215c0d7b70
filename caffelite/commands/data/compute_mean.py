"""`caffelite data compute-mean`.  Source: `tools/compute_image_mean.cpp`."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import DataError, Fault, UsageError
from .._kit import debug_option, described
from ._kit import PATH, backend_option, force_option, progress


@described(
    "compute-mean",
    "the mean image of a database, and the mean of each channel",
    [
        "caffelite data compute-mean train_lmdb",
        "caffelite data compute-mean train_lmdb -o mean.binaryproto",
        "caffelite data compute-mean train_lmdb mean.binaryproto --backend=lmdb",
    ],
    notes=(
        "The file is for transform_param { mean_file }; the means of the channels are for transform_param "
        "{ mean_value }, one line a channel."
    ),
)
@click.argument("db", type=PATH)
@click.argument("output_file", type=PATH, required=False)
@click.option("--output", "-o", type=PATH, metavar="FILE", help="Write the mean image there.  The same as OUTPUT_FILE.")
@backend_option
@force_option
@debug_option
def command(db: Path, output_file: Path | None, output: Path | None, backend: str | None, force: bool) -> None:
    from ...logs.text import number
    from ...tools.compute_mean import compute_mean

    if output_file and output:
        raise UsageError("OUTPUT_FILE and --output are two spellings of one thing", help="keep one")
    target = output or output_file
    if target and target.exists() and not force:
        raise DataError(Fault(f'"{target}" exists', help="--force writes it anew"))
    mean = compute_mean(db, backend, progress())
    if target:
        mean.write(target)
        click.echo(f"{target}: the mean of {mean.records} images, {'×'.join(map(str, mean.image.shape))}")
    click.echo(f"Number of channels: {len(mean.channels)}")
    for index, value in enumerate(mean.channels):
        click.echo(f"mean_value channel [{index}]: {number(value)}")
