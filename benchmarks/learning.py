"""Cases of learning: whole iterations of training, and forward and backward alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from caffelite.net import Net
from caffelite.proto import TRAIN

from .agreement import expect_equal, start_equal, train_alike
from .bench import Bench
from .harness import Result, Turn, clocked, race
from .loops import FOR_LARGE, FOR_SMALL, FOR_VECTORS, Step, Way, looped, passing_step, training_step, wanted, works
from .report import FIRST, ORIGINAL, PLAIN
from .sources import Batches
from .work import Files, Work

Make = Callable[..., Step]
"""What makes a step of (work, model, way)."""


def train(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Iterations of a solver, data and display included, against loops with batches that are ready."""
    files = Files(work, folder)
    notes = [train_alike(files)]
    solver = files.make_solver(files.net())

    def fused(work: Work, model: nn.Module, way: Way) -> Step:
        return training_step(work, model, way, fused=True)

    try:
        turns = {FIRST: clocked(solver.step), **_plain(files, solver.net, training_step)}
        tuned = _tuned(files, solver.net, FOR_SMALL if work.images else FOR_VECTORS, fused, ", fused SGD", bench, notes)
        turns |= tuned
        if bench.original:
            turns[ORIGINAL] = bench.original.training(files)
        values = race(turns, seconds=bench.seconds, rounds=bench.rounds)
    finally:
        solver.close()
    return Result(name, "it/s", values, list(tuned), notes)


def pass_both_ways(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Forward and backward of a net whose batch is ready."""
    files = Files(work, folder)
    notes = [train_alike(files)]
    net = files.make_net(files.net(), TRAIN)
    log = files.log("caffelite")

    def step(*_: torch.Tensor) -> torch.Tensor:
        net.clear_gradients()
        return net.forward_backward()

    try:
        turns = {FIRST: clocked(looped(step, files.batches(net), log)), **_plain(files, net, passing_step)}
        tuned = _tuned(files, net, FOR_LARGE, passing_step, "", bench, notes)
        turns |= tuned
        if bench.original:
            turns[ORIGINAL] = bench.original.passes(files)
        values = race(turns, seconds=bench.seconds, rounds=bench.rounds)
    finally:
        net.close()
    return Result(name, "it/s", values, list(tuned), notes)


def _plain(files: Files, net: Net, make: Make) -> dict[str, Turn]:
    """The script one would write."""
    step = make(files.work, start_equal(files.work.model(), net))
    return {PLAIN: clocked(looped(step, files.batches(net), files.log("plain")))}


def _tuned(
    files: Files, net: Net, ways: Sequence[Way], make: Make, suffix: str, bench: Bench, notes: list[str]
) -> dict[str, Turn]:
    """The script one would write for speed, in every way that can be gone."""
    work, turns = files.work, dict[str, Turn]()
    batches = files.batches(net)
    if work.tuned:
        _expect_same_model(files, net, batches)
    for way in wanted(ways, bench.compiling):
        model = way.apply(start_equal((work.tuned or work.model)(), net))
        step, ready = make(work, model, way), way.arranged(batches)
        if works(way, step, ready, notes):
            turns[f"{way}{suffix}"] = clocked(looped(step, ready, files.log("tuned")))
    return turns


def _expect_same_model(files: Files, net: Net, batches: Batches) -> None:
    """The model that was written for speed is still that model."""
    work: Any = files.work
    x, labels = batches[0]
    with torch.no_grad():
        models = [start_equal(make(), net).eval() for make in (work.tuned, work.model)]
        ours, theirs = (float(work.criterion(model(x), labels)) for model in models)
    expect_equal("loss of the tuned model", [ours], [theirs])
