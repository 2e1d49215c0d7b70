"""Contenders, each in a process of its own, brought together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from .apart import Apart, Failed, Make
from .bench import Bench
from .harness import Result, Turn, race
from .report import ORIGINAL


def meet(
    name: str, bench: Bench, makers: Mapping[str, Make], tuned: Mapping[str, Make], original: Turn | None,
    notes: list[str],
) -> Result:  # fmt: skip
    """Race them.

    Args:
        makers: of contenders that must be there.
        tuned: of variants of one thing; what fails of these is left out, and noted.
        original: the original's turn, where it takes part.

    Raises:
        Failed: a contender that must be there is not.
    """
    with ExitStack() as stack:
        turns: dict[str, Turn] = {}
        for how, make in {**makers, **tuned}.items():
            try:
                turns[how] = apart = Apart(make, bench.threads, keeping=bench.keeping)
            except Failed as error:
                if how not in tuned:
                    raise
                notes.append(f"left out: {how}: {error}")
                continue
            stack.callback(apart.close)
            notes += [apart.note] if apart.note else []
        there = [how for how in tuned if how in turns]
        if original is not None:
            turns[ORIGINAL] = original
        values = race(turns, seconds=bench.seconds, rounds=bench.rounds)
    return Result(name, "it/s", values, there, notes)
