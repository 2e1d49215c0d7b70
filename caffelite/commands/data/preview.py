"""`caffelite data preview`."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import UsageError
from .._kit import PHASES, debug_option, described, parts, python_option, state_options
from ._kit import PATH, name_range, rgb_option


@described(
    "preview",
    "a picture of exactly what a net's data layer hands to it, after transforms",
    [
        "caffelite data preview lenet_train_test.prototxt -o seen.png",
        "caffelite data preview train_val.prototxt -o seen.png --phase TEST --batches 2 --layer data",
    ],
    notes=(
        "Each image stands above its label.  The least value of all is drawn black and the greatest white; both are "
        "told.  Batches are those that training with random_seed N begins with; in TEST, those of its first test net. "
        "Augmentation, and crops from any place, happen in TRAIN only; mirror in both."
    ),
)
@click.argument("net", type=PATH)
@click.option("--output", "-o", required=True, type=PATH, metavar="FILE", help="The picture, a .png or the like.")
@click.option("--phase", default="TRAIN", show_default=True, metavar="TRAIN|TEST", help="Phase of the net.")
@click.option("--batches", default=1, show_default=True, type=click.IntRange(1), metavar="N", help="Draw so many.")
@click.option("--layer", metavar="NAME", help="Which layer; the first that reads data, if not said.")
@click.option("--seed", default=1, show_default=True, metavar="N", help="What random crops and the like follow from.")
@rgb_option
@state_options
@python_option
@debug_option
def command(
    net: Path, output: Path, phase: str, batches: int, layer: str | None, seed: int, rgb: bool, level: int, stage: str,
    allow_python: bool,
) -> None:  # fmt: skip
    if phase not in PHASES:
        raise UsageError(f'--phase must be TRAIN or TEST, not "{phase}"')
    from ...tools.preview import preview

    drawn = preview(
        net, output, PHASES[phase], batches, layer, parts(stage), level, seed, rgb, allow_python=allow_python,
        warn=lambda fault: click.echo(str(fault), err=True),
    )  # fmt: skip
    tops = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in drawn.tops.items())
    click.echo(f'layer "{drawn.layer}", {phase}: {tops}')
    click.echo(f"{output}: values {name_range(*drawn.range)}")
