"""A test output, watched to see whether it still becomes better."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Fault, Places, SettingsError, did_you_mean
from ..logs.text import number
from ..proto import TestWatchParameter, TestWatchState

if TYPE_CHECKING:
    from ..graph import Graph
    from .checks import Checks

log = logging.getLogger("caffelite")


@dataclass(frozen=True, slots=True)
class Watched:
    """A TestWatchParameter.

    Attributes:
        output: None, until `found_in` a net: the only one it has.
        more_is_better: its mode; None, until `found_in` a net: not for losses, but for all else.
    """

    output: str | None
    more_is_better: bool | None
    test_net: int
    patience: int
    min_delta: float

    @classmethod
    def of(cls, message: Any) -> Watched:
        """What a checked message says."""
        output = message.output if message.HasField("output") else None
        more = message.mode == TestWatchParameter.MAX if message.HasField("mode") else None
        return cls(output, more, message.test_net, message.patience, message.min_delta)

    def found_in(self, graph: Graph, field: str, places: Places, *, reduced: bool = False) -> Watched:
        """The same, with the output and the mode that were left out.

        Args:
            graph: the test net; shapes of it may be unknown.
            field: early_stop or plateau, for messages.
            places: finds fields of the solver.
            reduced: tests make a single number of each output, whatever its shape (mean average precision).

        Raises:
            SettingsError: there is no such output, none to speak of, or it is more than one number.
        """
        output = self.output
        if output is None:
            if len(graph.outputs) != 1:
                message = f"{field} must name an output: test net #{self.test_net} {_listed(graph)}"
                help = f'{field} {{ output: "{graph.outputs[0]}" }}' if graph.outputs else None
                raise SettingsError(Fault(message, places(field), help, code="CL523"))
            (output,) = graph.outputs
        elif output not in graph.outputs:
            message = f'{field}: test net #{self.test_net} has no output "{output}": it {_listed(graph)}'
            help = did_you_mean(output, graph.outputs)
            if output in graph.blobs:
                help = f"a layer reads {output}, and outputs are what none reads"
            raise SettingsError(Fault(message, places(f"{field}.output"), help, code="CL523"))
        shape = graph.shape(output)
        if not reduced and shape is not None and math.prod(shape) != 1:
            sizes = "×".join(map(str, shape))
            message = f'{field} watches a single number; output "{output}" of test net #{self.test_net} has {sizes}'
            help = "watch another, or let a Reduction sum it up"
            raise SettingsError(Fault(message, places(f"{field}.output"), help, code="CL523"))
        more = not _is_loss(graph, output) if self.more_is_better is None else self.more_is_better
        return replace(self, output=output, more_is_better=more)


def _listed(graph: Graph) -> str:
    return f"has {', '.join(graph.outputs)}" if graph.outputs else "has no outputs"


def _is_loss(graph: Graph, blob: str) -> bool:
    """Whether a blob is a top of a loss layer, or has a loss_weight."""
    return any(
        node.layer.loss or weight
        for node in graph.nodes
        for top, weight in zip(node.tops, node.loss_weights, strict=True)
        if top == blob
    )


def check(checks: Checks, field: str) -> None:
    """What is wrong with the TestWatchParameter in a field of a solver, its nets left aside."""
    watched, batches = getattr(checks.message, field), checks.message.test_iter
    nets, which = checks.test_nets, watched.test_net
    why = f"{field} watches a test output, and there are no test nets"
    if checks.expect(nets > 0, why, field, "add test_iter and test_interval", code="CL523"):
        known = f"the last one is #{nets - 1}"
        why = f"{field}: there is no test net #{which}, {known}"
        checks.expect(which < nets, why, f"{field}.test_net", code="CL523")
    if which < len(batches):
        why = f"{field} watches test net #{which}, which is tested on no batch"
        checks.expect(batches[which] > 0, why, f"test_iter[{which}]", code="CL523")
    help = "leave patience out to use 10"
    rule = f"{field}: patience must be at least 1, got 0"
    checks.expect(watched.patience > 0, rule, f"{field}.patience", help, code="CL523")
    rule = f"{field}: min_delta must be at least 0, got {watched.min_delta:g}"
    checks.expect(0 <= watched.min_delta < math.inf, rule, f"{field}.min_delta", code="CL523")


class Seen(NamedTuple):
    """What tests have led to so far: the step of the rate policy, and the TestWatchStates of two trackers (or None)."""

    current_step: int
    early_stop: Any
    plateau: Any


class Tracker:
    """The best value of an output so far, and how many tests brought nothing better.

    Attributes:
        watched: what is watched, as it was found in the net.
        best, iteration: the best value and where it was seen; None before the first that is a number.
        tests: how many tests in a row were not better.
    """

    def __init__(self, watched: Watched) -> None:
        if watched.output is None or watched.more_is_better is None:
            raise ValueError("first find it in a net")
        self.watched = watched
        self.output = watched.output
        self.best: float | None = None
        self.iteration: int | None = None
        self.tests = 0

    def see(self, value: float, iteration: int) -> bool:
        """Take in the mean of a whole test; true where it is better than all before, which NaN never is."""
        if math.isnan(value) or not (self.best is None or self.gain(value, self.best) > self.watched.min_delta):
            self.tests += 1
            return False
        self.best, self.iteration, self.tests = value, iteration, 0
        return True

    def gain(self, value: float, over: float) -> float:
        """By how much a value is better than another; below 0 where it is worse."""
        return value - over if self.watched.more_is_better else over - value

    @property
    def exhausted(self) -> bool:
        """Whether patience has come to its end."""
        return self.tests >= self.watched.patience

    def state(self) -> TestWatchState:
        """What it has seen."""
        return TestWatchState(best=self.best, iteration=self.iteration, tests=self.tests, output=self.output)

    def restore(self, state: TestWatchState | None) -> None:
        """Go on from what `state` gave; None, or the state of another output: from nothing."""
        if state is not None and state.output != self.output:
            log.warning('what was seen of "%s" says nothing about "%s": that begins anew', state.output, self.output)
            state = None
        state = state or TestWatchState()
        seen = state.HasField("best") and not math.isnan(state.best)
        self.best, self.iteration = (state.best, state.iteration) if seen else (None, None)
        self.tests = state.tests

    def told(self) -> str:
        """ "accuracy has not become better than 0.98 (iteration 500) in 3 tests" """
        tests = f"{self.tests} test{'s' * (self.tests != 1)}"
        if self.best is None:
            return f"{self.output} has been no number in {tests}"
        return f"{self.output} has not become better than {number(self.best)} (iteration {self.iteration}) in {tests}"
