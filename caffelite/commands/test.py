"""`caffelite test`: score a trained net.  Source: `test()`, `tools/caffe.cpp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import Fault, UsageError
from ..logs.records import OutputValue
from ..logs.text import number, output
from ._kit import described, file_options, gpu_numbers, gpu_option, log_options, open_log, parts, state_options

if TYPE_CHECKING:
    from ..net import Net
    from ._log import Log


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
@gpu_option
@log_options
def command(
    model: str | None, weights: str, iterations: int, level: int, stage: str,
    sets: tuple[str, ...], strict: bool, gpu: str | None,
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

        model = model or _model_of(files[-1], log)
        where, _ = device.choose(numbers, wants_gpu=False)
        text = "Use CPU." if where.type == "cpu" else f"Use GPU with device ID {where.index}"
        log.note(text, "caffe.cpp:275" if where.type == "cpu" else "caffe.cpp:266")
        net = load_net(
            model, TEST, level=level, stages=["", *parts(stage)], device=where, strict=strict,
            sets=sets, warn=log.warn, weights=files,
            loaded=lambda path, report: tell(path, report, log, exceptions_only=True),
        )  # fmt: skip
        try:
            _score(net, iterations, log)
        finally:
            net.close()


def _model_of(weights: str, log: Log) -> str:
    """The test net of the run that wrote the weights."""
    from pathlib import Path

    from ..logs.run_record import find_run, sessions

    folder = find_run(Path(weights))
    help = "name the net: --model train_test.prototxt"
    if folder is None:
        raise UsageError(Fault(f"no record of the run that made {weights} lies beside it", help=help))
    model = folder / "test_0.prototxt"
    if not model.exists():
        raise UsageError(Fault(f"the run that made {weights} ({folder}) had no test net", help=help))
    log.note(f"The net is that of the run: {model}")
    began_in = next((session.get("folder") for session in sessions(folder)[-1:]), None)
    if began_in and Path(began_in) != Path.cwd():
        log.note(f"The run was started in {began_in}: paths in its net are relative to that folder", severity="warning")
    return str(model)


def _score(net: Net, iterations: int, log: Log) -> None:
    from ctypes import c_float

    log.note(f"Running for {iterations} iterations.", "caffe.cpp:281")
    sums: list[float] = []
    loss = 0.0
    for batch in range(iterations):
        loss += float(net.forward())
        values = [(name, weight, value) for name, weight, row in net.output_values() for value in row]
        for name, _, value in values:
            log.note(f"Batch {batch}, {name} = {number(value)}", "caffe.cpp:304")
        sums = [
            c_float(total + value[2]).value for total, value in zip(sums or [0.0] * len(values), values, strict=True)
        ]
    log.note(f"Loss: {number(loss / iterations)}", "caffe.cpp:309")
    for index, (total, (name, weight, _)) in enumerate(zip(sums, values, strict=True)):
        log.note(output(OutputValue(index, name, total / iterations, weight)), "caffe.cpp:321")
