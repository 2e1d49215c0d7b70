"""`caffelite time`: how long each layer takes, forward and backward.  Source: `time()`, `tools/caffe.cpp`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ..logs.text import number
from ._kit import (
    PHASES,
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
    from ..tools.timing.report import Report
    from ._log import Log


@described(
    "time",
    "measure how long the layers of a net take, and at what speed",
    [
        "caffelite time --model lenet_train_test.prototxt",
        "caffelite time --model lenet_train_test.prototxt --phase TEST --iterations 20",
        "caffelite time --model deploy.prototxt --gpu 0",
        "caffelite time --model lenet_train_test.prototxt --profile trace.json.gz",
        "caffelite time --model lenet_train_test.prototxt --format json",
    ],
    notes=(
        "The original's report goes to stderr; its times are means.  What follows on stdout takes medians, and tells "
        "the speed of each forward and backward, and how much that is of the machine's peak, which is measured on the "
        "spot.  Matrix work is told in GFLOP/s, two operations a multiply-add: a backward does the forward's once for "
        "the bottoms that need a gradient, and once for the weights.  Other layers are told in GB/s, by the bytes that "
        "they must at least read and write; above 100% of the copy's speed these lie in a cache.  Layers are timed one "
        "by one, and every blob is kept; a whole iteration is timed as `train` runs it (with --phase TEST: as `test` "
        "does), which takes less.  --profile writes a trace of a few iterations of both kinds, for ui.perfetto.dev.  "
        "--format json prints one object."
    ),
)
@click.option("--model", metavar="FILE", help="The net's prototxt.  Required.")
@click.option("--weights", default="", metavar="FILES", help="Trained weights to measure with, separated by commas.")
@click.option("--iterations", default=50, show_default=True, type=click.IntRange(1), help="How often to run the net.")
@click.option("--phase", default="TRAIN", show_default=True, metavar="TRAIN|TEST", help="Phase of the net.")
@click.option("--profile", type=click.Path(path_type=Path), metavar="FILE", help="Write a trace: .json or .json.gz.")
@click.option(
    "--format",
    "form",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="What is printed beside the original's report.",
)
@state_options
@file_options
@python_option
@gpu_option
@log_options
def command(
    model: str | None, weights: str, iterations: int, phase: str, profile: Path | None, form: str, level: int,
    stage: str, sets: tuple[str, ...], strict: bool, allow_python: bool, gpu: str | None,
) -> None:  # fmt: skip
    from ..tools.timing import TRACES

    if not model:
        raise UsageError("time needs a net: --model FILE")
    if phase not in PHASES:
        raise UsageError(f'--phase must be TRAIN or TEST, not "{phase}"')
    if profile is not None and not profile.name.endswith(TRACES):
        raise UsageError(f"--profile writes {' or '.join(TRACES)}, not {profile.name}")
    numbers, training = gpu_numbers(gpu), phase == "TRAIN"
    with open_log() as log:
        from ..assembly import load_net
        from ..runtime import device

        where, _ = device.choose(numbers, wants_gpu=False)
        text = "Use CPU." if where.type == "cpu" else f"Use GPU with device ID {where.index}"
        log.note(text, "caffe.cpp:343" if where.type == "cpu" else "caffe.cpp:339")
        net = load_net(
            model, PHASES[phase], level=level, stages=["", *parts(stage)], weights=parts(weights), device=where,
            observed=True, strict=strict, sets=sets, allow_python=allow_python, warn=log.warn,
        )  # fmt: skip
        try:
            click.echo(_told(_measured(net, iterations, training, log), form))
            if profile is not None:
                from ..tools.timing.trace import write_trace

                write_trace(net, profile, training)
                log.note(f"Trace written to {profile}")
        finally:
            net.close()


def _told(report: Report, form: str) -> str:
    if form == "text":
        return f"\n{report.as_text()}"
    import json

    return json.dumps(report.as_dict())


class _Clock:
    """Milliseconds that layers take, each behind the one before, after the device has done its work."""

    def __init__(self, net: Net) -> None:
        self.device = net.run.device
        self.spent = {way: [list[float]() for _ in net.graph.nodes] for way in ("forward", "backward")}
        self._last = 0.0

    def now(self) -> float:
        """Milliseconds, of no meaning but their differences."""
        from ..tools.timing.machine import now

        return now(self.device)

    def start(self) -> float:
        """From now on."""
        self._last = self.now()
        return self._last

    def watch(self, way: str, layer: int) -> None:
        """A layer is done."""
        now = self.now()
        self.spent[way][layer].append(now - self._last)
        self._last = now


def _measured(net: Net, iterations: int, training: bool, log: Log) -> Report:
    """The original's report into the log; what it lacks is returned."""
    from ..tools.timing.layers import layer_times
    from ..tools.timing.machine import measure, peak_resident
    from ..tools.timing.report import Report
    from ..tools.timing.whole import whole_iterations

    clock = _Clock(net)
    forward, backward = _benchmark(net, clock, iterations, log)
    layers = layer_times(net, clock.spent)
    whole = whole_iterations(net, iterations, training)
    resident = peak_resident()  # before the machine is measured, which takes memory, too
    layer_by_layer = forward + backward if training else forward
    return Report(layers, measure(net.run.device), training, layer_by_layer, whole, resident)


def _benchmark(net: Net, clock: _Clock, iterations: int, log: Log) -> tuple[float, float]:
    """The original's report; returns its averages, forward and backward."""
    log.note("Performing Forward", "caffe.cpp:351")
    loss = net.forward()
    log.note(f"Initial loss: {number(float(loss))}", "caffe.cpp:356")
    log.note("Performing Backward", "caffe.cpp:357")
    net.backward()
    plan = net.observed_plan
    plan.watch = clock.watch
    log.note("*** Benchmark begins ***", "caffe.cpp:365")
    log.note(f"Testing for {iterations} iterations.", "caffe.cpp:366")
    forward = backward = 0.0
    began = clock.now()
    for iteration in range(iterations):
        start = clock.start()
        plan.forward()
        middle = clock.start()
        plan.backward()
        end = clock.now()
        forward, backward = forward + middle - start, backward + end - middle
        log.note(f"Iteration: {iteration + 1} forward-backward time: {number(end - start)} ms.", "caffe.cpp:394")
    total = clock.now() - began
    log.note("Average time per layer: ", "caffe.cpp:397")
    for index, node in enumerate(net.graph.nodes):
        for way, source in (("forward", "caffe.cpp:400"), ("backward", "caffe.cpp:403")):
            spent = number(sum(clock.spent[way][index]) / iterations)
            log.note(f"{node.name:>10}\t{way}: {spent} ms.", source)
    log.note(f"Average Forward pass: {number(forward / iterations)} ms.", "caffe.cpp:408")
    log.note(f"Average Backward pass: {number(backward / iterations)} ms.", "caffe.cpp:410")
    log.note(f"Average Forward-Backward: {number(total / iterations)} ms.", "caffe.cpp:412")
    log.note(f"Total Time: {number(total)} ms.", "caffe.cpp:414")
    log.note("*** Benchmark ends ***", "caffe.cpp:415")
    return forward / iterations, backward / iterations
