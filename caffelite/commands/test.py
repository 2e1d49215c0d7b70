"""`caffelite test`: score a trained net.  Source: `test()`, `tools/caffe.cpp`."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import replace
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from ..errors import Fault, SnapshotError, UsageError
from ..logs.records import OutputValue
from ..logs.text import number, output
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

if TYPE_CHECKING:
    from ..net import Net
    from ..net.moment import Moment
    from ._log import Log


_SEEN = 0.05
"""Seconds; who reads along does not see that lines come together."""


@described(
    "test",
    "score a trained net on its test data",
    [
        "caffelite test --weights lenet_iter_10000.caffemodel --iterations 100",
        "caffelite test --model lenet_train_test.prototxt --weights lenet_iter_10000.caffemodel",
    ],
    notes="Without --model, the net is taken from the record that the training run kept beside the weights.",
)
@click.option("--model", metavar="FILE", help="The net's prototxt; its TEST phase is run.")
@click.option("--weights", default="", metavar="FILES", help="Trained weights, separated by commas.  Required.")
@click.option("--iterations", default=50, show_default=True, type=click.IntRange(1), help="Batches to score.")
@state_options
@file_options
@python_option
@gpu_option
@log_options
def command(
    model: str | None, weights: str, iterations: int, level: int, stage: str,
    sets: tuple[str, ...], strict: bool, allow_python: bool, gpu: str | None,
) -> None:  # fmt: skip
    files = parts(weights)
    if not files:
        raise UsageError("test needs trained weights: --weights FILE.caffemodel")
    numbers = gpu_numbers(gpu)
    with open_log() as log:
        from ..assembly import load_net
        from ..proto import TEST
        from ..runtime import device
        from ._weights import tell

        folder = Path.cwd()
        if model is None:
            model, folder = _net_of(files[-1], log)
        if folder != Path.cwd():
            model, *files = (str(Path(file).absolute()) for file in (model, *files))
        where, _ = device.choose(numbers, wants_gpu=False)
        text = "Use CPU." if where.type == "cpu" else f"Use GPU with device ID {where.index}"
        log.note(text, "caffe.cpp:275" if where.type == "cpu" else "caffe.cpp:266")
        with chdir(folder):
            net = load_net(
                model, TEST, level=level, stages=["", *parts(stage)], device=where, strict=strict,
                sets=sets, allow_python=allow_python, warn=log.warn, weights=files,
                loaded=lambda path, report: tell(path, report, log, exceptions_only=True),
            )  # fmt: skip
            try:
                _warn_of_nobody_s_data(net, log)
                score(net, iterations, log)
            finally:
                net.close()


def _net_of(weights: str, log: Log) -> tuple[str, Path]:
    """The test net of the run that wrote the weights, and the folder in which its data is found: this one, or the one
    the run was started in, to which the paths in the net are relative."""
    from ..logs.run_record import find_run, sessions

    if not Path(weights).exists():
        raise SnapshotError(f"{weights}: no such file")
    run = find_run(Path(weights))
    help = "name the net: --model train_test.prototxt"
    if run is None:
        raise UsageError(Fault(f"no record of the run that made {weights} lies beside it", help=help))
    model = run / "test_0.prototxt"
    if not model.exists():
        raise UsageError(Fault(f"the run that made {weights} ({run}) had no test net", help=help))
    log.note(f"The net is that of the run: {model}")
    started = next((Path(session["folder"]) for session in sessions(run)[-1:] if "folder" in session), None)
    sources = [source for source in _sources(model) if not Path(source).exists()]
    if started is None or not any((started / source).exists() for source in sources):
        return str(model), Path.cwd()
    log.note(f"Its data is found from {started}, where the run was started")
    return str(model), started


def _sources(model: Path) -> list[str]:
    """The data that the layers of a net name."""
    from ..assembly import read_net

    parameters = (value for layer in read_net(model).message.layer for _, value in layer.ListFields())
    return [value.source for value in parameters if getattr(value, "source", "")]


def _warn_of_nobody_s_data(net: Net, log: Log) -> None:
    inputs = [blob for node in net.graph.nodes if node.type == "Input" for blob in node.tops]
    if inputs:
        names = " and ".join(f'"{name}"' for name in inputs)
        log.note(f"nothing fills {names} (Input): these are not scores of any data", severity="warning")


def score(net: Net, iterations: int, log: Log) -> None:
    """Tell what each of so many batches gives, and the means."""
    log.note(f"Running for {iterations} iterations.", "caffe.cpp:281")
    told = Told(net, log)
    try:
        while told.made < iterations:
            told.make(iterations - told.made)
    finally:
        told.tell()
    log.note(f"Loss: {number(told.loss / iterations)}", "caffe.cpp:309")
    for index, ((name, weight), total) in enumerate(zip(told.scores.names, told.sums, strict=True)):
        log.note(output(OutputValue(index, name, total / iterations, weight)), "caffe.cpp:321")


class Told:
    """The batches of a test, told a few at a time: as often as somebody would see.

    Attributes:
        made: how many there are.
        loss: the sum of all losses that were told.
        sums: for each output value that of all batches, in single precision.
    """

    def __init__(self, net: Net, log: Log) -> None:
        from ..solver.testing import Scores

        self.scores = Scores(net)
        self.made, self.loss, self.sums = 0, 0.0, list[float]()
        self._net, self._log = net, log
        self._starts: list[tuple[Moment, int]] = []  # and how many passes there are from there to a batch's end
        self._told = 0
        self._when = monotonic()
        self._odd = False

    def make(self, most: int) -> None:
        """Make the pass of the next batch, or of the next few."""
        from ..net.moment import Moment

        start = Moment(self._net)
        made = self.scores.make(self.scores.ahead(most))
        self._starts += [(start, number) for number in range(1, made + 1)]
        self.made += made
        if self.scores.many or monotonic() - self._when > _SEEN:
            self.tell()

    def tell(self) -> None:
        """Tell of the batches that nobody was told of."""
        from ctypes import c_float

        rows, starts, self._starts = self.scores.read().tolist(), self._starts, []
        for (loss, *values), start in zip(rows, starts, strict=True):
            for (name, _), value in zip(self.scores.names, values, strict=True):
                self._log.note(f"Batch {self._told}, {name} = {number(value)}", "caffe.cpp:304")
            self.loss += loss
            if not self._odd and not all(map(isfinite, (self.loss, *values))):
                self._odd = True
                _say_where(self._net, *start, self._told, self._log)
            sums = self.sums or [0.0] * len(values)
            self.sums = [c_float(total + value).value for total, value in zip(sums, values, strict=True)]
            self._told += 1
        self._when = monotonic()


def _say_where(net: Net, start: Moment, passes: int, batch: int, log: Log) -> None:
    """Warn of a batch that is not finite, once its reason is found."""
    from ..net.search import find
    from ..solver.findings import begun, placed

    origin = find(net, start, passes, "outputs")
    fault = placed(origin, f"batch {batch} has outputs that are not finite; {begun(origin)}")
    log.warn(replace(fault, severity="warning"))
