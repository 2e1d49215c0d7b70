"""Whether caffelite and a hand-written net compute the same: nothing is timed before they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from caffelite import to_state_dict
from caffelite.net import Net

from .handwritten.small import without_dropout
from .loops import training_step
from .work import Files

SAME = 1e-3
"""How much values may differ, as part of their size, of nets that are the same."""


class Disagreement(SystemExit):
    """Losses differ; what would be compared is not the same work."""


def names(model: nn.Module, net: Net) -> dict[str, str | tuple[str, str]]:
    """By module of the model the layers with its weights: both in the order in which they are written down."""
    modules = [name for name, module in model.named_modules() if list(module.parameters(recurse=False))]
    layers: list[Any] = []
    for node in net.graph.nodes:
        if node.type == "Scale" and layers[-1][1] == "BatchNorm":
            layers[-1] = ((layers[-1][0], node.name), "")
        elif node.weights:
            layers.append((node.name, node.type))
    return dict(zip(modules, (name for name, _ in layers), strict=True))


def start_equal(model: nn.Module, net: Net) -> nn.Module:
    """Give the model the weights of a net, where they lie."""
    model.to(net.run.device).load_state_dict(to_state_dict(net, names(model, net)))
    return model


def expect_equal(what: str, ours: Sequence[float], theirs: Sequence[float], most: float = SAME) -> float:
    """The largest relative difference.

    Raises:
        Disagreement: it is too large.
    """
    worst = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(ours, theirs, strict=True))
    if not worst <= most:
        raise Disagreement(f"{what}: caffelite has {ours}, the hand-written net {theirs}")
    return worst


def train_alike(files: Files) -> str:
    """Train both from the same weights on the same batches, leaving nothing out by chance; says how far they agree.

    Raises:
        Disagreement: their losses differ.
    """
    work, (count, most) = files.work, files.work.alike
    solver = files.make_solver(files.net(dropout=False))
    try:
        work.arithmetic()
        batches = (files.batches(solver.net) * count)[:count]
        step = training_step(work, without_dropout(start_equal(work.model(), solver.net)))
        theirs, ours = [step(*batch).item() for batch in batches], []
        for _ in batches:
            solver.step(1)
            ours.append(sum(weight * sum(values) for _, weight, values in solver.net.output_values()))
    finally:
        solver.close()
    worst = expect_equal("losses of training", ours, theirs, most)
    return f"losses of {count} iterations agree to {worst:.0e}"
