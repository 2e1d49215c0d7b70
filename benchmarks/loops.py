"""The hand-written loops, and the ways of making them fast."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .handwritten.small import correct
from .sources import Batches, endless
from .work import DISPLAY, Work

Step = Callable[[Tensor, Tensor], Tensor]
"""One iteration; gives its loss."""


@dataclass(frozen=True)
class Way:
    """How a net is computed: memory order, and torch.compile's settings (None: not compiled)."""

    channels_last: bool = False
    compiled: dict[str, Any] | None = None

    def __str__(self) -> str:
        order = "channels_last" if self.channels_last else ""
        how = "" if self.compiled is None else ", ".join(["compile", *self.compiled])
        return ", ".join(filter(None, [order, how])) or "eager"

    def apply(self, model: nn.Module) -> nn.Module:
        """The model in this memory order."""
        if self.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def arranged(self, batches: Batches) -> Batches:
        """The batches in this memory order."""
        if not self.channels_last:
            return batches
        return [
            (x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x, labels) for x, labels in batches
        ]

    def made(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, compiled where that is asked for."""
        if self.compiled is None:
            return function
        return torch.compile(function, dynamic=False, options=self.compiled or None)


PLAIN_WAY = Way()
FOR_VECTORS = Way(), Way(compiled={})
"""Where there is no memory order to choose."""
FOR_LARGE = Way(channels_last=True), Way(channels_last=True, compiled={})
FOR_SMALL = *FOR_LARGE, Way(compiled={})
FOR_TESTS = *FOR_LARGE, Way(channels_last=True, compiled={"freezing": True})
WITH_GRAPHS = Way(compiled={"triton.cudagraphs": True})
"""On a GPU, in place of compiling alone."""


def _loss(work: Work, model: nn.Module, way: Way) -> Callable[..., Tensor]:
    def loss(x: Tensor, labels: Tensor) -> Tensor:
        with work.rounding():
            return work.criterion(model(x), labels)

    return way.made(loss)


def training_step(work: Work, model: nn.Module, way: Way = PLAIN_WAY, **options: Any) -> Step:
    """Forward, backward, and SGD's update."""
    optimizer = work.optimizer(model, **options)
    forward = _loss(work, model, way)

    def step(x: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = forward(x, labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def passing_step(work: Work, model: nn.Module, way: Way = PLAIN_WAY) -> Step:
    """Forward and backward."""
    forward = _loss(work, model, way)

    def step(x: Tensor, labels: Tensor) -> Tensor:
        model.zero_grad()
        loss = forward(x, labels)
        loss.backward()
        return loss

    return step


def looped(step: Step, batches: Batches, log: Any) -> Callable[[int], None]:
    """A loop that prints its loss as often as caffelite does."""
    stream, numbers = endless(batches), count()

    def run(iterations: int) -> None:
        for _ in range(iterations):
            loss, number = step(*next(stream)), next(numbers)
            if number % DISPLAY == 0:
                print(f"iteration {number}, loss = {loss.item():g}", file=log, flush=True)

    return run


def scored(work: Work, scores: Any, labels: Tensor) -> list[Tensor]:
    """The losses and accuracies of every classifier of a net, in the order of a prototxt's outputs."""
    found = []
    for one in scores if isinstance(scores, tuple) else (scores,):
        accuracies = [correct(one, labels, top) for top in work.tops]
        found += [*accuracies, nn.functional.cross_entropy(one, labels)]
    return found


def test_step(work: Work, model: nn.Module, way: Way = PLAIN_WAY) -> Callable[[Tensor, Tensor], list[float]]:
    """A batch of a test; the values of :func:`scored`."""
    forward = way.made(lambda x, labels: scored(work, model(x), labels))
    guard = torch.no_grad if way == PLAIN_WAY or way.compiled is not None else torch.inference_mode

    def step(x: Tensor, labels: Tensor) -> list[float]:
        with guard():
            return [value.item() for value in forward(x, labels)]

    return step


def test_loop(step: Callable[[Tensor, Tensor], list[float]], batches: Batches, log: Any) -> Callable[[int], None]:
    """A test that prints what every batch gives, and the means."""
    stream = endless(batches)

    def run(iterations: int) -> None:
        sums: list[float] = []
        for number in range(iterations):
            values = step(*next(stream))
            print(f"batch {number}:", *values, file=log, flush=True)
            sums = [total + value for total, value in zip(sums or [0.0] * len(values), values, strict=True)]
        print("means:", *(total / iterations for total in sums), file=log, flush=True)

    return run


def folded(model: nn.Module) -> nn.Module:
    """A copy for use, with every BatchNorm put into the convolution before it."""
    model = copy.deepcopy(model).eval()
    for parent in model.modules():
        children = list(parent.named_children()) if isinstance(parent, nn.Sequential) else []
        for (name, first), (next_name, second) in pairwise(children):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(first, second))
                setattr(parent, next_name, nn.Identity())
    return model


def ready(way: Way, step: Callable[..., object], batches: Batches) -> str | None:
    """Compile what is to be compiled; says how long that took."""
    if way.compiled is None:
        return None
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step(*batches[0])
    return f"{way}: compiled in {time.perf_counter() - start:.0f} s"


def wanted(ways: Sequence[Way], compiling: bool, on_gpu: bool) -> list[Way]:
    """Those of the ways that may be tried; on a GPU with memory in its usual order, and CUDA graphs, too."""
    more = [way for way in (Way(), WITH_GRAPHS) if on_gpu and way not in ways]
    return [way for way in (*ways, *more) if compiling or way.compiled is None]
