"""`caffelite extract-features`.  Source: `tools/extract_features.cpp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError, did_you_mean
from ._kit import (
    described,
    file_options,
    gpu_numbers,
    gpu_option,
    log_options,
    open_log,
    parts,
    python_option,
    state_options,
)
from .data._kit import force_option, progress

if TYPE_CHECKING:
    from ..tools.extract_features import Feature
    from ._log import Log

FORMS = ("lmdb", "leveldb", "hdf5")
ARGUMENTS = "WEIGHTS MODEL BLOBS DATASETS NUM_BATCHES DB_TYPE [CPU|GPU [DEVICE_ID]]"
_FEWEST, _MOST = 6, 8
_TOLD_EVERY = 1000


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be extracted."""

    weights: list[str]
    model: str
    features: list[Feature]
    batches: int | None
    form: str
    gpus: list[int] | None


@described(
    "extract-features",
    "blobs of a trained net, for every sample of its data, as LMDB, LevelDB or HDF5",
    [
        "caffelite extract-features --model net.prototxt --weights net.caffemodel --blobs fc7,prob --out features/",
        "caffelite extract-features --model net.prototxt --weights net.caffemodel --blobs fc7,label --out fc7.h5",
        "caffelite extract_features net.caffemodel net.prototxt fc7,prob fc7_lmdb,prob_lmdb 10 lmdb GPU 0",
    ],
    notes=(
        f"The original's arguments, {ARGUMENTS}, are taken instead of options.  A record of a database is a Datum for "
        "each sample: float_data, without a label, under the key %010d.  In an HDF5 file each blob is a data set of "
        "its name.  Ask for the blob of labels, too, to have them beside the features."
    ),
)
@click.argument("arguments", nargs=-1, metavar=f"[{ARGUMENTS}]")
@click.option("--model", default="", metavar="FILE", help="The net's prototxt; its TEST phase is run.")
@click.option("--weights", default="", metavar="FILES", help="Trained weights, separated by commas.")
@click.option("--blobs", default="", metavar="A,B", help="What to extract.")
@click.option(
    "--out",
    default="",
    metavar="PATH",
    help="A folder, which gets a database A_lmdb for each blob; or an HDF5 file (.h5) for all of them.",
)
@click.option(
    "--iterations",
    type=click.IntRange(1),
    metavar="N",
    help="Batches to run; by default as many as there are, and each sample once.",
)
@click.option("--format", "form", type=click.Choice(FORMS), help="By default lmdb, and hdf5 where --out says so.")
@force_option
@state_options
@file_options
@python_option
@gpu_option
@log_options
def command(
    arguments: tuple[str, ...], model: str, weights: str, blobs: str, out: str, iterations: int | None,
    form: str | None, force: bool, level: int, stage: str, sets: tuple[str, ...], strict: bool, allow_python: bool,
    gpu: str | None,
) -> None:  # fmt: skip
    if arguments:
        _refuse_both(model=model, weights=weights, blobs=blobs, out=out, iterations=iterations, format=form, gpu=gpu)
        asked = _from_arguments(arguments)
    else:
        asked = _from_options(model, weights, blobs, out, iterations, form, gpu)
    with open_log() as log:
        from ..assembly import load_net
        from ..proto import TEST
        from ..runtime import device
        from ..tools.extract_features import check, extract_features, read_again, unfilled
        from ._weights import tell

        check(asked.features, asked.form, force)
        where, _ = device.choose(asked.gpus, wants_gpu=False)
        log.note("Using CPU" if where.type == "cpu" else f"Using GPU with device ID {where.index}")
        net = load_net(
            asked.model, TEST, level=level, stages=["", *parts(stage)], device=where, strict=strict, sets=sets,
            keeping=[feature.blob for feature in asked.features], allow_python=allow_python, warn=log.warn,
            weights=asked.weights, loaded=lambda path, report: tell(path, report, log, exceptions_only=True),
        )  # fmt: skip
        try:
            for fault in (*unfilled(net), *(read_again(net, asked.batches) if asked.batches else ())):
                log.warn(fault)
            log.note("Extracting Features", "extract_features.cpp:133")
            shown = _shown([feature.blob for feature in asked.features], log)
            rows = extract_features(net, asked.features, asked.batches, asked.form, force, shown)
        finally:
            net.close()
    for feature, count in zip(asked.features, rows, strict=True):
        click.echo(f"{feature.path}: {count} records of {feature.blob}")


# -- what is asked for ------------------------------------------------------------------------------------------------


def _refuse_both(**options: object) -> None:
    given = ", ".join(f"--{name}" for name, value in options.items() if value)
    if given:
        raise UsageError(f"takes options or {ARGUMENTS}, not {given} beside these arguments")


def _from_arguments(arguments: Sequence[str]) -> _Asked:
    from ..tools.extract_features import Feature

    if not _FEWEST <= len(arguments) <= _MOST:
        raise UsageError(
            f"takes {ARGUMENTS}, got {len(arguments)} arguments",
            help="or options: --model, --weights, --blobs, --out",
        )
    weights, model, blobs, datasets, batches, form, *where = arguments
    names, paths = blobs.split(","), datasets.split(",")
    if len(names) != len(paths):
        raise UsageError(
            f"there must be as many blobs as data sets, got {len(names)} ({blobs}) and {len(paths)} ({datasets})"
        )
    if form not in FORMS:
        raise UsageError(f'DB_TYPE is one of {", ".join(FORMS)}, not "{form}"', help=did_you_mean(form, FORMS))
    features = [Feature(name, Path(path)) for name, path in zip(names, paths, strict=True)]
    return _Asked(parts(weights), model, features, _positive(batches), form, _gpus(where))


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise UsageError(f'NUM_BATCHES is a positive whole number, not "{text}"')
    return int(text)


def _gpus(where: Sequence[str]) -> list[int] | None:
    """The GPU that the original's last arguments name."""
    mode, number = (*where, *("CPU", "0")[len(where) :])
    number = number.removeprefix("DEVICE_ID=")
    if mode.upper() not in ("CPU", "GPU"):
        raise UsageError(f'after DB_TYPE comes CPU or GPU, not "{mode}"')
    if not (number.isascii() and number.isdecimal()):
        raise UsageError(f'DEVICE_ID is the number of a GPU, not "{number}"')
    return [int(number)] if mode.upper() == "GPU" else None


def _from_options(
    model: str, weights: str, blobs: str, out: str, iterations: int | None, form: str | None, gpu: str | None
) -> _Asked:
    from ..tools.extract_features import placed
    from ..tools.hdf5_tables import is_named_hdf5

    options = {"--model": model, "--weights": weights, "--blobs": blobs, "--out": out}
    missing = [name for name, value in options.items() if not parts(value)]
    if missing:
        raise UsageError(f"needs {', '.join(missing)}", help="caffelite extract-features --help shows examples")
    form = form or ("hdf5" if is_named_hdf5(Path(out)) else "lmdb")
    return _Asked(parts(weights), model, placed(parts(blobs), Path(out), form), iterations, form, gpu_numbers(gpu))


# -- how far it is ----------------------------------------------------------------------------------------------------


def _shown(blobs: Sequence[str], log: Log) -> Callable[[str, int, int | None], None]:
    """Shows how far the work is: at a terminal as other tools do, else by the original's lines in the log."""
    show = progress()
    told = dict[str, int]()

    def tell(blob: str, done: int, total: int | None) -> None:
        if show:
            if blob == blobs[-1]:
                show(", ".join(blobs), done, total)
        elif done == total or done // _TOLD_EVERY > told.get(blob, 0):
            told[blob] = done // _TOLD_EVERY
            text = f"Extracted features of {done} query images for feature blob {blob}"
            log.note(text, f"extract_features.cpp:{176 if done == total else 165}")

    return tell
