"""Rounds of tests: every test net on its batches, and what follows from the means."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..logs.records import Note, Tested, TestStarted, emit
from ..logs.text import number
from ..net.moment import Moment
from .detecting import mean_precision
from .events import Action
from .testing import Average, average
from .tracker import Seen

if TYPE_CHECKING:
    from ..net import Net
    from .solver import Solver


class Before(NamedTuple):
    """A round of tests: its iteration, and where the test nets and what follows from tests stood before it."""

    iteration: int
    moments: list[Moment]
    seen: Seen


class Rounds:
    """Makes a solver's rounds of tests.  A round is made whole: who goes on from the middle of one makes it again."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self._last: Before | None = None

    def __call__(self) -> None:
        """Run every test net, and heed what comes out; a request to stop ends it, and lets them stand where they began.
        Where a round is made twice in an iteration, the second counts."""
        solver = self.solver
        self._last = before = self.before()
        means = []
        for index in range(len(solver.test_nets)):
            if solver.stopped:
                break
            means.append(self.test(index))
        if solver.stopped:
            for moment, net in zip(before.moments, solver.test_nets, strict=True):
                moment.put_back(net)
        else:
            solver.follow_up.go_back(before.seen)
            solver.follow_up([mean for mean in means if mean is not None])

    def before(self) -> Before:
        """Where test nets, and what follows from tests, stand for who goes on from this iteration: if a round of tests
        is due, which is made again then, as they stood before it."""
        solver = self.solver
        if self._last is not None and self._last.iteration == solver.iter and solver.tests_between(solver.iter):
            return self._last
        return Before(solver.iter, [Moment(net) for net in solver.test_nets], solver.follow_up.seen())

    def forget(self) -> None:
        """The solver stands elsewhere now."""
        self._last = None

    def test(self, index: int) -> Average | None:
        """Run test net `index` on its `test_iter` batches; the means, or None when a request to stop ended it."""
        solver = self.solver
        net = solver.test_nets[index]
        solver.watch.settle()
        if solver.shows:  # a script may have let one of the two nets use the weights of a third
            net.share(solver.net)
        emit(solver.sinks, TestStarted(solver.iter, index))
        start = solver.watch.where(net)
        result = self._made(net, solver.settings.test_nets[index].test_iter)
        if result is None:
            emit(solver.sinks, Note("Test interrupted.", source="solver.cpp:396"))
        else:
            emit(solver.sinks, Tested(solver.iter, index, result.outputs, result.loss))
            solver.watch.tested(index, start, result)
        return result

    def _made(self, net: Net, batches: int) -> Average | None:
        """What eval_type asks for."""
        settings, shows = self.solver.settings, self.solver.shows
        with_loss, asked = settings.test_compute_loss, self._asked_to_stop
        if settings.eval_type == "classification":
            return average(net, batches, with_loss=with_loss, interrupted=asked, shows=shows)
        version = settings.ap_version
        found = mean_precision(net, batches, version, with_loss=with_loss, interrupted=asked, shows=shows)
        for label, precision in found.by_class if found is not None else ():
            if precision is None:
                text = f"Missing true_pos for label: {label}"
                emit(self.solver.sinks, Note(text, "warning", "solver.cpp:524"))
            elif settings.show_per_class_result:
                emit(self.solver.sinks, Note(f"class{label}: {number(precision)}", source="solver.cpp:540"))
        return found

    def _asked_to_stop(self) -> bool:
        """Heed everything that was asked for during a test."""
        solver = self.solver
        while (action := solver.request()) is not Action.NONE:
            if action.snapshots and solver.finishing:
                text = "No snapshot is written in the last test: training has ended, with one where settings ask for it"
                emit(solver.sinks, Note(text))
            elif action.snapshots:
                solver.snapshot()
            solver.stopped = solver.stopped or action.stops
        return solver.stopped
