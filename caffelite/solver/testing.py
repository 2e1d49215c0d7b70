"""A test pass: the outputs of a net, averaged over a number of batches.

Source: `Solver::Test`, `src/caffe/solver.cpp`; sums are in single precision, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from ..logs.records import OutputValue


@dataclass(frozen=True, slots=True)
class Average:
    """Outputs (one entry an element) and weighted loss, each a mean over the batches."""

    outputs: tuple[OutputValue, ...]
    loss: float | None


def outputs_of(values: Iterable[tuple[str, float, list[float]]]) -> tuple[OutputValue, ...]:
    """What `Net.output_values` says, numbered through over all outputs."""
    elements = ((name, value, weight) for name, weight, flat in values for value in flat)
    return tuple(OutputValue(index, name, value, weight) for index, (name, value, weight) in enumerate(elements))


def expect_as_many(before: int, now: int) -> None:
    """Check that a batch has as many output values as the one before.

    Raises:
        UsageError: it has not, so there is no mean.
    """
    if before != now:
        raise UsageError(
            f"the outputs of the net change their size from batch to batch ({before} values, then {now}), "
            "so they have no mean",
            help="let a layer read what a Filter lets through: a loss, or Silence",
        )


def passes(net: Any, batches: int, interrupted: Callable[[], bool], shows: bool) -> Iterator[Any]:
    """Run `batches` forward passes: the loss of each; None, as the last, when interrupted.  See `average`."""
    for batch in range(batches):
        if interrupted():
            yield None
            return
        if shows:
            net.observe(batch + 1 == batches)
        yield net.forward()


def average(
    net: Any, batches: int, *, with_loss: bool, interrupted: Callable[[], bool], shows: bool = False
) -> Average | None:
    """Run `batches` forward passes and average what comes out.

    Args:
        net: the net to run; its data goes on where the last test left off.
        with_loss: average the weighted loss, too.
        interrupted: asked before each batch; True gives up.
        shows: somebody may look at the blobs afterwards: the last pass keeps them all.

    Returns:
        The means, or None when interrupted.

    Raises:
        UsageError: the outputs of two batches differ in size.
    """
    sums, total = np.zeros(0, np.float32), np.float32(0)
    values: list[tuple[str, float, list[float]]] = []
    for batch, loss in enumerate(passes(net, batches, interrupted, shows)):
        if loss is None:
            return None
        if with_loss:
            total += np.float32(float(loss))
        values = net.output_values()
        scores = np.array([value for _, _, flat in values for value in flat], np.float32)
        if batch:
            expect_as_many(len(sums), len(scores))
        sums = scores if batch == 0 else sums + scores
    if batches <= 0:
        return Average((), None)
    means = (sums / np.float32(batches)).tolist()
    outputs = tuple(
        OutputValue(value.index, value.name, mean, value.weight)
        for value, mean in zip(outputs_of(values), means, strict=True)
    )
    return Average(outputs, float(total / np.float32(batches)) if with_loss else None)
