"""A test pass: the outputs of a net, averaged over a number of batches.

Source: `Solver::Test`, `src/caffe/solver.cpp`; sums are in single precision, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..layerkit.base import torch
from ..logs.records import OutputValue

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Average:
    """Outputs (one entry an element) and weighted loss, each a mean over the batches."""

    outputs: tuple[OutputValue, ...]
    loss: float | None


def outputs_of(values: Iterable[tuple[str, float, list[float]]]) -> tuple[OutputValue, ...]:
    """What `Net.output_values` says, numbered through over all outputs."""
    elements = ((name, value, weight) for name, weight, flat in values for value in flat)
    return tuple(OutputValue(index, name, value, weight) for index, (name, value, weight) in enumerate(elements))


_MANY_BATCHES, _MANY_VALUES = 64, 1 << 16


class Scores:
    """What passes of a net give, read from the device for many of them at once: each time it would have to be waited
    for, and on a CPU a look at a number after a pass finds nothing in the caches.

    Args:
        net: it has as many output values in each batch.
    """

    def __init__(self, net: Any) -> None:
        self._net = net
        self._rows: list[Tensor] = []
        self._sizes: list[tuple[str, float, int]] = []

    def take(self, loss: Tensor) -> None:
        """Note what the net's last pass gave, this weighted loss among it.

        Raises:
            UsageError: these are not as many values as those of the pass before, so they have no mean.
        """
        there = self._net.outputs()
        sizes = [(name, weight, len(row)) for name, weight, row in there]
        before, now = (sum(size for *_, size in each) for each in (self._sizes, sizes))
        if self._sizes and before != now:
            raise UsageError(
                f"the outputs of the net change their size from batch to batch ({before} values, then {now}), "
                "so they have no mean",
                help="let a layer read what a Filter lets through: a loss, or Silence",
            )
        self._sizes = sizes
        self._rows.append(torch.cat([loss.detach().reshape(1), *(row for *_, row in there)]))

    @property
    def many(self) -> bool:
        """Whether it is time to `read`."""
        return len(self._rows) >= _MANY_BATCHES or len(self._rows) * len(self._rows[0]) >= _MANY_VALUES

    def read(self) -> NDArray[np.float32]:
        """What was noted since the last time: a row for each pass, its loss and then the values of its outputs."""
        rows, self._rows = self._rows, []
        return torch.stack(rows).cpu().numpy() if rows else np.zeros((0, 0), np.float32)

    def names(self) -> list[tuple[str, float]]:
        """For each value of an output its name and loss weight."""
        return [(name, weight) for name, weight, size in self._sizes for _ in range(size)]


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
    if batches <= 0:
        return Average((), None)
    scores, sums = Scores(net), np.zeros(1, np.float32)
    for batch, loss in enumerate(passes(net, batches, interrupted, shows), 1):
        if loss is None:
            return None
        scores.take(loss)
        if scores.many or batch == batches:
            for row in scores.read():
                sums = sums + row
    mean, *means = (sums / np.float32(batches)).tolist()
    outputs = (
        OutputValue(index, name, value, weight)
        for index, ((name, weight), value) in enumerate(zip(scores.names(), means, strict=True))
    )
    return Average(tuple(outputs), mean if with_loss else None)
