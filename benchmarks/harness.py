"""Several ways of doing the same work, timed in turn.

Machines drift and are shared, so single times say little: the contenders run block by block, and what counts is the
ratio of neighbouring blocks.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

Turn = Callable[[int], float]
"""Makes so many iterations, and says how many seconds they took."""


@dataclass(frozen=True)
class Result:
    """What was measured of each contender, a value a round, and the ratios of the first to the others.

    Attributes:
        unit: of the values; "it/s" are rates, of which more is better, anything else is a cost.
        tuned: the contenders that are variants of one thing; the best of them stands for all.
        notes: what else there is to say.
    """

    name: str
    unit: str
    values: Mapping[str, Sequence[float]]
    tuned: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=list)

    def median(self, contender: str) -> float:
        return statistics.median(self.values[contender])

    def ratios(self, contender: str) -> list[float]:
        """First contender's value over this one's, round by round."""
        first = next(iter(self.values.values()))
        return [ours / theirs for ours, theirs in zip(first, self.values[contender], strict=True)]

    def ratio(self, contender: str) -> str:
        """The median ratio and its range, to be read."""
        ratios = self.ratios(contender)
        return f"{statistics.median(ratios):.2f}× ({min(ratios):.2f} to {max(ratios):.2f})"

    def best_tuned(self) -> str | None:
        """The best of the variants, by its median."""
        if not self.tuned:
            return None
        return (max if self.unit == "it/s" else min)(self.tuned, key=self.median)


def clocked(run: Callable[[int], object]) -> Turn:
    """Makes a :data:`Turn` of what makes so many iterations in this process."""

    def turn(iterations: int) -> float:
        start = time.perf_counter()
        run(iterations)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return turn


def fitting(turn: Turn, seconds: float) -> int:
    """How many iterations take about so long, once everything is set up."""
    turn(1)
    count, taken = 1, turn(1)
    while taken < seconds / 3:
        count = max(count + 1, min(10 * count, round(count * seconds / taken)))
        taken = turn(count)
    return max(1, round(count * seconds / taken))


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Ask every contender for a value, so many times; every other round from the last to the first, so that a machine
    that becomes slower or faster favours nobody."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in reversed(values) if number % 2 else values:
            values[name].append(contenders[name]())
    return values


def race(turns: Mapping[str, Turn], *, seconds: float, rounds: int) -> dict[str, list[float]]:
    """The rates of contenders, iterations per second, in blocks of about so many `seconds`."""

    def rate_of(turn: Turn) -> Callable[[], float]:
        block = fitting(turn, seconds)
        return lambda: block / turn(block)

    return in_turn({name: rate_of(turn) for name, turn in turns.items()}, rounds)


def compare(name: str, contenders: Mapping[str, Callable[[int], object]], rounds: int = 7) -> Result:
    """Race what runs in this process, in short blocks."""
    turns = {contender: clocked(run) for contender, run in contenders.items()}
    return Result(name, "it/s", race(turns, seconds=0.3, rounds=rounds))


def cpu() -> str:
    """What computes."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
