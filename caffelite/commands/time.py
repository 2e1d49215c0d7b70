"""`caffelite time`: how long each layer takes, forward and backward.  Source: `time()`, `tools/caffe.cpp`."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

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
    from ._log import Log


@described(
    "time",
    "measure how long each layer of a net takes",
    [
        "caffelite time --model lenet_train_test.prototxt",
        "caffelite time --model lenet_train_test.prototxt --phase TEST --iterations 20",
        "caffelite time --model deploy.prototxt --gpu 0",
    ],
)
@click.option("--model", metavar="FILE", help="The net's prototxt.  Required.")
@click.option("--weights", default="", metavar="FILES", help="Trained weights to measure with, separated by commas.")
@click.option("--iterations", default=50, show_default=True, type=click.IntRange(1), help="How often to run the net.")
@click.option("--phase", default="TRAIN", show_default=True, metavar="TRAIN|TEST", help="Phase of the net.")
@state_options
@file_options
@python_option
@gpu_option
@log_options
def command(
    model: str | None, weights: str, iterations: int, phase: str, level: int, stage: str,
    sets: tuple[str, ...], strict: bool, allow_python: bool, gpu: str | None,
) -> None:  # fmt: skip
    if not model:
        raise UsageError("time needs a net: --model FILE")
    if phase not in PHASES:
        raise UsageError(f'--phase must be TRAIN or TEST, not "{phase}"')
    numbers = gpu_numbers(gpu)
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
            _measure(net, iterations, log)
        finally:
            net.close()


class _Clock:
    """Milliseconds between events, each after the device has done its work."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.spent = {way: [0.0] * len(net.graph.nodes) for way in ("forward", "backward")}
        self._last = 0.0

    def start(self) -> float:
        """From now on."""
        self._last = self.now()
        return self._last

    def now(self) -> float:
        """Milliseconds, of no meaning but their differences."""
        if self.net.run.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.net.run.device)
        return perf_counter() * 1000

    def watch(self, way: str, layer: int) -> None:
        """A layer is done."""
        now = self.now()
        self.spent[way][layer] += now - self._last
        self._last = now


def _measure(net: Any, iterations: int, log: Log) -> None:
    log.note("Performing Forward", "caffe.cpp:351")
    loss = net.forward()
    log.note(f"Initial loss: {number(float(loss))}", "caffe.cpp:356")
    log.note("Performing Backward", "caffe.cpp:357")
    net.backward()
    clock, plan = _Clock(net), net.observed_plan
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
            spent = number(clock.spent[way][index] / iterations)
            log.note(f"{node.name:>10}\t{way}: {spent} ms.", source)
    log.note(f"Average Forward pass: {number(forward / iterations)} ms.", "caffe.cpp:408")
    log.note(f"Average Backward pass: {number(backward / iterations)} ms.", "caffe.cpp:410")
    log.note(f"Average Forward-Backward: {number(total / iterations)} ms.", "caffe.cpp:412")
    log.note(f"Total Time: {number(total)} ms.", "caffe.cpp:414")
    log.note("*** Benchmark ends ***", "caffe.cpp:415")
