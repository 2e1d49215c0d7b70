"""Cases of learning: whole iterations of training, and forward and backward alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from caffelite.proto import TRAIN
from caffelite.runtime.memory import keep_freed

from .agreement import expect_equal, start_equal, train_alike
from .apart import Made, Make
from .bench import Bench
from .harness import Result, Turn, clocked
from .loops import (
    FOR_LARGE,
    FOR_SMALL,
    FOR_VECTORS,
    PLAIN_WAY,
    Step,
    Way,
    looped,
    passing_step,
    ready,
    training_step,
    wanted,
)
from .meeting import meet
from .report import FIRST, PLAIN
from .work import Files, Work

MakeStep = Callable[..., Step]
"""What makes a step of (work, model, way)."""


def train(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Iterations of a solver, data and display included, against loops with batches that are ready."""
    files, ways = Files(work, folder), FOR_SMALL if work.images else FOR_VECTORS
    tuned = {f"{way}, fused SGD": way for way in wanted(ways, bench.compiling, work.on_gpu)}
    step = partial(training_step, fused=True)
    original = bench.original.training(files) if bench.original else None
    return _race(name, files, bench, partial(_solver, files), (training_step, step), tuned, original)


def pass_both_ways(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Forward and backward of a net whose batch is ready."""
    files = Files(work, folder)
    tuned = {str(way): way for way in wanted(FOR_LARGE, bench.compiling, work.on_gpu)}
    original = bench.original.passes(files) if bench.original else None
    return _race(name, files, bench, partial(_net, files), (passing_step, passing_step), tuned, original)


def _race(
    name: str, files: Files, bench: Bench, ours: Make, steps: tuple[MakeStep, MakeStep], tuned: dict[str, Way],
    original: Turn | None,
) -> Result:  # fmt: skip
    plain_step, tuned_step = steps
    notes = [train_alike(files)]
    if files.work.tuned:
        _expect_same_model(files)
    makers: dict[str, Make] = {FIRST: ours, PLAIN: partial(_by_hand, files, plain_step, PLAIN_WAY, False)}
    quick: dict[str, Make] = {how: partial(_by_hand, files, tuned_step, way, True) for how, way in tuned.items()}
    return meet(name, bench, makers, quick, original, notes)


def _solver(files: Files) -> Made:
    """`caffelite train`."""
    keep_freed()
    return Made(clocked(files.make_solver(files.net()).step))


def _net(files: Files) -> Made:
    """A net of caffelite's, as its command line would run it."""
    keep_freed()
    net = files.make_net(files.net(), TRAIN)

    def step(*_: torch.Tensor) -> torch.Tensor:
        net.clear_gradients()
        return net.forward_backward()

    return Made(clocked(looped(step, files.batches(net), files.log("caffelite"))))


def _by_hand(files: Files, make_step: MakeStep, way: Way, tuned: bool) -> Made:
    """A script one would write: simply, or in a way that is for speed."""
    work = files.work
    work.arithmetic()
    net = files.make_net(files.net(), TRAIN)
    batches = way.arranged(files.batches(net))
    model = way.apply(start_equal(((work.tuned if tuned else None) or work.model)(), net))
    net.close()
    step = make_step(work, model, way)
    note = ready(way, step, batches)
    return Made(clocked(looped(step, batches, files.log("by_hand"))), note)


def _expect_same_model(files: Files) -> None:
    """The model that was written for speed is still that model."""
    work: Any = files.work
    net = files.make_net(files.net(), TRAIN)
    x, labels = files.batches(net)[0]
    with torch.no_grad():
        work.arithmetic()
        models = [start_equal(make(), net).eval() for make in (work.tuned, work.model)]
        ours, theirs = (float(work.criterion(model(x), labels)) for model in models)
    net.close()
    expect_equal("loss of the tuned model", [ours], [theirs])
