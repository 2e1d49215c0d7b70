"""What all cases are measured with."""

from __future__ import annotations

from dataclasses import dataclass

from .original import Original


@dataclass(frozen=True)
class Bench:
    """How to measure.

    Attributes:
        rounds, seconds: turns of each contender, and how long each of them is, about.
        threads: that torch, and the original's BLAS, compute with.
        compiling: torch.compile may be tried.
        original: the original's binary, if there is one.
        keeping: hand-written loops keep freed memory, as caffelite's command line does.
    """

    rounds: int
    seconds: float
    threads: int
    compiling: bool
    original: Original | None
    keeping: bool = False
