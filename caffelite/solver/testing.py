"""A test pass: the outputs of a net, averaged over a number of batches.

Source: `Solver::Test`, `src/caffe/solver.cpp`; sums are in single precision, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..logs.records import OutputValue
from ..runtime.device import numbers

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
    for, and on a CPU whatever looks at a number after a pass is not in the caches.

    Args:
        net: it has as many output values in each pass.

    Attributes:
        names: for each value of an output its name and loss weight, as far as something was read.
    """

    def __init__(self, net: Any) -> None:
        self.names: list[tuple[str, float]] = []
        self._net = net
        self._passes: list[list[Tensor]] = []
        self._most = 1

    def ahead(self, most: int) -> int:
        """How many passes, `most` at most, it is best to `make` at once."""
        return int(self._net.ahead(most))

    def make(self, count: int) -> int:
        """Make so many passes of the net and note what they give; says how many there are: fewer where an error comes
        next."""
        made = self._net.forwards(count)
        self._passes += made
        return len(made)

    @property
    def many(self) -> bool:
        """Whether it is time to `read`."""
        return len(self._passes) >= self._most

    def read(self) -> NDArray[np.float32]:
        """What was noted since the last time: a row for each pass, its loss and then the values of its outputs.

        Raises:
            UsageError: two passes had outputs of different size, so they have no mean.
        """
        passes, self._passes = self._passes, []
        for row in passes:
            self._measure(row[1:])
        values = chain.from_iterable(numbers([one for row in passes for one in row]))
        return np.fromiter(values, np.float32).reshape(len(passes), 1 + len(self.names))

    def _measure(self, row: Sequence[Tensor]) -> None:
        sizes = [one.numel() for one in row]
        before, now = len(self.names), sum(sizes)
        if before == now:
            return
        if before:
            raise UsageError(
                f"the outputs of the net change their size from batch to batch ({before} values, then {now}), "
                "so they have no mean",
                help="let a layer read what a Filter lets through: a loss, or Silence",
            )
        named = zip(self._net.named_outputs(), sizes, strict=True)
        self.names = [one for one, size in named for _ in range(size)]
        self._most = min(_MANY_BATCHES, max(1, _MANY_VALUES // now))


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
    scores, sums, made = Scores(net), np.zeros(1, np.float32), 0
    while made < batches:
        count = 1 if shows else scores.ahead(batches - made)
        if any(interrupted() for _ in range(count)):
            return None
        if shows:
            net.observe(made + 1 == batches)
        made += scores.make(count)
        if scores.many or made == batches:
            for row in scores.read():
                sums = sums + row
    mean, *means = (sums / np.float32(batches)).tolist()
    outputs = (
        OutputValue(index, name, value, weight)
        for index, ((name, weight), value) in enumerate(zip(scores.names, means, strict=True))
    )
    return Average(tuple(outputs), mean if with_loss else None)
