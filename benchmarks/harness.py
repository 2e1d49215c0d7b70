"""Two ways of doing the same work, timed in turn.

Machines drift and are shared, so single times say little: A and B run block by block in one process, and what counts
is the ratio of neighbouring blocks.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Result:
    """Rates of each contender (iterations per second, one per block) and the ratios of the first to the others."""

    name: str
    threads: int
    torch: str
    cpu: str
    rates: dict[str, list[float]]

    def median(self, contender: str) -> float:
        return statistics.median(self.rates[contender])

    def ratios(self, contender: str) -> list[float]:
        """First contender's rate over this one's, block by block."""
        first = next(iter(self.rates.values()))
        return [ours / theirs for ours, theirs in zip(first, self.rates[contender], strict=True)]


def race(
    name: str, contenders: Mapping[str, Callable[[int], object]], *, block: int, rounds: int, warmup: int
) -> Result:
    """Run every contender for `block` iterations in turn, `rounds` times.

    Args:
        name: what is measured.
        contenders: by name a function that does so many iterations.  The first is compared with the others.
        block, rounds: iterations a turn; turns.
        warmup: iterations of each before anything counts.
    """
    for run in contenders.values():
        run(warmup)
    rates: dict[str, list[float]] = {contender: [] for contender in contenders}
    for _ in range(rounds):
        for contender, run in contenders.items():
            start = time.perf_counter()
            run(block)
            rates[contender].append(block / (time.perf_counter() - start))
    return Result(name, torch.get_num_threads(), torch.__version__, cpu(), rates)


def cpu() -> str:
    """What computes."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def report(result: Result, folder: Path | None = None) -> None:
    """Print a table; with a folder, write the rates as JSON there too."""
    print(f"{result.name}: {result.threads} threads, torch {result.torch}, {result.cpu}")
    first = next(iter(result.rates))
    for contender in result.rates:
        ratios = result.ratios(contender)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(
            f"  {contender:<28} {result.median(contender):8.1f} it/s   "
            f"{first} is {statistics.median(ratios):.2f}x ({spread})"
        )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{result.name.replace(' ', '_')}.json").write_text(json.dumps(asdict(result), indent=1))
