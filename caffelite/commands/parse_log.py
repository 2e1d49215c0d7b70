"""`caffelite parse-log`.  Source: `tools/extra/parse_log.py`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import DataError, Fault
from ._kit import debug_option, described


@described(
    "parse-log",
    "the train and test outputs of a log as two CSV files",
    [
        "caffelite parse-log train.log tables/",
        "caffelite parse-log lenet_run . --verbose",
        "caffelite parse-log resumed.log . --final --every-value",
    ],
    notes=(
        "Writes LOG.train and LOG.test, with a line for each display and each test: NumIters, Seconds, LearningRate, "
        "and a column for each output.  A LOG is the text that a run (or the original Caffe) wrote to stderr, a "
        "log.jsonl, or a run folder.  The LearningRate of a line is the rate of the display before.  Without "
        "--every-value, nets that have outputs of one name make several lines of an iteration, and of an output with "
        "several values the last is written."
    ),
)
@click.argument("log", type=click.Path(path_type=Path), metavar="LOG")
@click.argument("folder", type=click.Path(path_type=Path), metavar="OUTPUT_DIR")
@click.option("--delimiter", default=",", show_default=True, metavar="CHARACTER", help="What stands between columns.")
@click.option("--every-value", is_flag=True, help='A column for each value, those of one name as "acc", "acc #1" ….')
@click.option("--final", is_flag=True, help="Of a resumed run, leave out what it made again, and the time between.")
@click.option("--verbose", is_flag=True, help="Say what is written.")
@debug_option
def command(log: Path, folder: Path, delimiter: str, every_value: bool, final: bool, verbose: bool) -> None:
    from ..tools.parse_log import parse_log, save_csv_files

    train, test = parse_log(log, every_value=every_value, final=final)
    if not train and not test:
        help = "set display or test_interval in the solver"
        raise DataError(Fault(f'"{log}" shows no output of a net: nothing is written', help=help))
    for path, rows in save_csv_files(log, folder, train, test, delimiter).items():
        if verbose:
            click.echo(f"{path}: {rows} rows" if rows else f"{path}: not written, there are no rows")
