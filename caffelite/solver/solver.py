"""The loop: forward, backward, update; tests, displays and snapshots when they are due.

Source: `src/caffe/solver.cpp`; the order of everything that can be seen from outside is the original's.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import DataError, SettingsError, SnapshotError
from ..layerkit import SourceLayer
from ..logs import records
from ..logs.records import emit
from ..logs.text import number
from . import state
from .checking import folder_fault
from .events import Every, Request, nothing_asked
from .follow_up import FollowUp
from .keep import Pruning
from .policies import learning_rate
from .repetition import Begun, Repetition
from .rounds import Rounds
from .rule import Clipping, Rule
from .smoothing import SmoothedLoss
from .stretch import Stretch
from .testing import outputs_of
from .watch import OnNan, Watch

if TYPE_CHECKING:
    from torch import Tensor

    from .objective import Again
    from .settings import Settings


class Solver:
    """Trains a net.

    Args:
        settings: what to do.
        net: the net to train.
        test_nets: one for each of `settings.test_nets`, sharing the train net's weights.
        sinks: take the records of the run.
        request: asked after every update and before every test batch whether to snapshot or stop.
        on_nan: what to do when training is not finite any more; the original does not look ("ignore").

    Attributes:
        iter: updates made so far.
        current_step: the state of the rate policy (see :mod:`.policies`).
        rule: the update rule with its history.
        follow_up: what follows from tests: drops of the rate, the best weights, early stopping.
        rounds: makes a round of tests.
        tests_between: whether a round of tests is due at an iteration that is still to come.
        shows: somebody may look at the blobs of the nets between two calls: the last pass of each keeps them all.
        keep: how many snapshots stay, the newest; None: all of them.
        run_id: names the run, over all its stops and resumes.
        newest: the solver state that was written or read last.
        stopped: the last `step` or `solve` ended early because `request` said so.
        ended_early: early_stop ended the training; further steps do nothing.
    """

    def __init__(
        self,
        settings: Settings,
        net: Any,
        test_nets: Sequence[Any] = (),
        sinks: Sequence[records.Sink] = (),
        request: Request = nothing_asked,
        on_nan: OnNan = "ignore",
    ) -> None:
        self.settings = settings
        self.net = net
        self.test_nets = list(test_nets)
        self.sinks = list(sinks)
        self.request = request
        self.iter = 0
        self.current_step = 0
        self.stopped = self.ended_early = False
        self.rule = Rule(settings, net.parameters)
        for test_net in self.test_nets:
            test_net.debug_info = settings.debug_info
        self.follow_up = FollowUp(self)
        self.shows = False
        self.keep: int | None = None
        self.run_id = secrets.token_hex(8)
        self.newest: str | None = None
        self.watch = Watch(self, on_nan)
        self._displays = Every(settings.display)
        self._tests = Every(settings.test_interval, offset=settings.test_offset)
        self.tests_between = replace(self._tests, first=0 if settings.test_initialization else 1)
        self._snapshots = Every(settings.snapshot)
        self.smoothed = SmoothedLoss(settings.average_loss)
        self._callbacks: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self._saved_at: int | None = None
        self._restored = self.finishing = False
        self._begun: Begun | None = None
        # Whether an iteration goes on reading data when layers have computed already.
        self._reads_on = settings.iter_size > 1 or sum(isinstance(n.layer, SourceLayer) for n in net.graph.nodes) > 1
        self._stretch = Stretch(self, possible=not self._reads_on)
        self._pruning = Pruning(self)
        self.rounds = Rounds(self)
        self._shown_at = 0
        self._shown_when = 0.0

    def add_callback(self, on_start: Callable[[], object], on_gradients_ready: Callable[[], object]) -> None:
        """Functions to call in every iteration: before its first forward, and between gradients and update; by a type
        that searches after each of its backwards."""
        self._callbacks.append((on_start, on_gradients_ready))
        self.watch.at_once()  # what they do cannot be done again

    # -- training -------------------------------------------------------------------------------------------------

    def solve(self, resume: str | os.PathLike[str] | None = None) -> None:
        """Train until `max_iter` or `early_stop`, then snapshot, display and test as the settings ask.

        Args:
            resume: a solverstate to go on from.

        Raises:
            SnapshotError: the state does not fit, or snapshots cannot be written (found before training).
        """
        if resume is not None:
            self._note(f"Restoring previous solver status from {os.fspath(resume)}", "solver.cpp:296")
            self.restore(resume)
        if self.settings.snapshot_after_train:
            fault = folder_fault(self.settings.snapshot_prefix)
            if fault is not None:
                raise SnapshotError(fault)
        emit(self.sinks, records.Solving(self.net.name, self.settings.lr_policy, self.iter, self.settings.max_iter))
        self._saved_at = None
        begun = self.iter
        try:
            self.step(self.settings.max_iter - self.iter)
        except DataError:
            if self.iter > begun:
                self._save_what_was_learned()
            raise
        self._save_at_end()
        self.finishing = True
        loss = None if self.stopped else self._finish()
        self.finishing = False
        if not self.stopped:
            self.follow_up.put_best_back()
        emit(self.sinks, records.Finished(self.iter, loss, self.stopped))

    def step(self, iterations: int) -> None:
        """Make that many updates, with the tests, displays and snapshots due between them; fewer when stopped, or when
        early_stop ends the training."""
        end = self.iter + iterations
        self.stopped = False
        if self.ended_early:
            emit(self.sinks, records.Note("Nothing is trained: early_stop has ended this training", "warning"))
            return
        if not self._restored:
            self.smoothed.clear()
        self._restored = False
        self._shown_at, self._shown_when = self.iter, time.perf_counter()
        self.watch.begin(iterations)
        reweighted = self.shows and self.net.reweighted()
        while self.iter < end:
            self.net.clear_gradients()
            if self.tests_between(self.iter):
                self.rounds()
                if self.stopped or self._ends_early():
                    break
            if self.shows:
                self.net.observe(reweighted or self._may_be_last(end))
            action = self._stretch(self._seen_next(end))
            if action is None:
                self._iterate()
                action = self.request()
            if self._snapshots(self.iter) or action.snapshots:
                self.snapshot()
            if action.stops:
                self.stopped = True
                break
        self.watch.settle(weights=True)

    def _seen_next(self, end: int) -> float:
        """Before which iteration, of a `step` up to iteration `end`, something can be seen of those that go before."""
        if self._callbacks:
            return self.iter
        after = self.iter + 1
        return min(end, self._displays.next(self.iter), self.tests_between.next(after), self._snapshots.next(after))

    def _may_be_last(self, end: int) -> bool:
        """Whether somebody may look at blobs after the iteration that begins now, of a `step` up to iteration `end`."""
        ending = self.follow_up.early_stop is not None and self.tests_between(self.iter + 1)
        return ending or self.iter + 1 == end or bool(self._callbacks)

    def apply_update(self) -> None:
        """Update the weights from the gradients the net holds now, and count it as an iteration.

        Raises:
            UsageError: the solver type searches, and gradients are not enough for that.
        """
        self.net.pull()
        self._update(self._rate())

    def _iterate(self) -> None:
        display = self._displays(self.iter)
        self.net.debug_info = display and self.settings.debug_info
        for on_start, _ in self._callbacks:
            on_start()
        self._begun = begun = Begun(self.net, collected=self._reads_on)
        self.watch.before(begun.moment)
        loss = self.accumulate(self.net)
        self.watch.after(loss)
        if self.settings.display:
            self.smoothed.add(loss)
        before = self.current_step
        rate = self._rate()
        if display:
            self._display(rate)
        if self.settings.lr_policy == "multistep" and self.current_step != before:
            text = f"MultiStep Status: Iteration {self.iter}, step = {self.current_step}"
            self._note(text, "sgd_solver.cpp:50")
        self.tell_of_gradients()
        clipping = self._update(rate, Repetition(self, begun.moment, loss) if self.rule.searches else None)
        if display and clipping is not None:
            self._show_clipping(clipping)

    def accumulate(self, net: Any) -> Tensor:
        """Forward and backward `iter_size` batches; the mean of their losses, still on the device."""
        loss: Tensor = net.forward_backward()
        for _ in range(1, self.settings.iter_size):
            loss = loss + net.forward_backward()
        return loss if self.settings.iter_size == 1 else loss / self.settings.iter_size

    def tell_of_gradients(self) -> None:
        """Let callbacks see the gradients of an iteration, and change them."""
        for _, on_gradients_ready in self._callbacks:
            on_gradients_ready()
        if self._callbacks:
            self.net.pull()

    def _rate(self) -> float:
        rate, self.current_step = learning_rate(self.settings, self.iter, self.current_step)
        if not math.isfinite(rate):
            raise SettingsError(
                f"lr_policy {self.settings.lr_policy} has no finite rate at iteration {self.iter}: {rate:g}",
                help="poly is defined up to max_iter only" if self.settings.lr_policy == "poly" else None,
            )
        return rate

    def _update(self, rate: float, again: Again | None = None) -> Clipping | None:
        clipping = self.rule.apply(rate, self.iter, again)
        self.net.push()
        self.iter += 1
        self._begun = None
        return clipping

    def _save_what_was_learned(self) -> None:
        """Snapshot before an error of the data ends the run; all is that of the last whole iteration."""
        if self._begun is not None:
            self._begun.undo()
        if self.settings.snapshot_after_train and self._saved_at != self.iter:
            try:
                self.snapshot()
            except SnapshotError as error:
                emit(self.sinks, records.Note(f"No snapshot of iteration {self.iter} is written: {error}", "warning"))

    def _ends_early(self) -> bool:
        tracker = self.follow_up.early_stop
        if tracker is not None and tracker.exhausted:
            self.ended_early = True
            emit(self.sinks, records.Note(f"Early stop: Iteration {self.iter}, {tracker.told()}"))
        return self.ended_early

    def _save_at_end(self) -> None:
        if not self.settings.snapshot_after_train:
            if self.stopped and self._saved_at != self.iter:
                text = f"No snapshot of iteration {self.iter} is written: snapshot_after_train is false"
                emit(self.sinks, records.Note(text, "warning"))
        elif not self._snapshots(self.iter) and self._saved_at != self.iter and not self.follow_up.has_best_back:
            self.snapshot()

    def _finish(self) -> float | None:
        """The last display, whose forward pass uses up a batch, and the last test."""
        loss = None
        if self._displays(self.iter):
            start = self.watch.where(self.net)
            if self.shows:
                self.net.observe(True)
            last = self.net.forward()
            self.smoothed.add(last)
            loss = self.smoothed.value()
            emit(self.sinks, records.LastLoss(self.iter, loss))
            self.watch.ended(start, last)
        if self._tests(self.iter) and not self.ended_early:
            self.rounds()
        return loss

    def test_all(self) -> None:
        """Run every test net, and heed what comes out."""
        self.rounds()

    # -- telling --------------------------------------------------------------------------------------------------

    def _display(self, rate: float) -> None:
        self.watch.settle()
        outputs, loss, now = outputs_of(self.net.output_values()), self.smoothed.value(), time.perf_counter()
        interval, seconds = self.iter - self._shown_at, now - self._shown_when
        self._shown_at, self._shown_when = self.iter, now
        emit(
            self.sinks,
            records.Displayed(self.iter, loss, rate, seconds, interval, self.settings.display, outputs),
        )

    def _show_clipping(self, clipping: Clipping) -> None:
        norm, scale = float(clipping.norm), float(clipping.scale)
        if norm > self.settings.clip_gradients:
            limit = number(self.settings.clip_gradients)
            text = f"(L2 norm {number(norm)} > {limit}) by scale factor {number(scale)}"
            self._note(f"Gradient clipping: scaling down gradients {text}", "sgd_solver.cpp:99")

    def _note(self, text: str, source: str) -> None:
        emit(self.sinks, records.Note(text, source=source))

    # -- snapshots ------------------------------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write the weights, then the state; both are whole on disk or not there at all.  Nothing is written once the
        net has its best weights back, which are not those of the state.

        Raises:
            SnapshotError: they cannot be written.
            DivergedError: the weights are not finite, and on_nan is "stop".
        """
        if self.follow_up.has_best_back:
            text = "No snapshot is written: the net has its best weights back; the last ones had their snapshot"
            emit(self.sinks, records.Note(text, "warning"))
            return
        self.watch.settle(weights=True)
        model, saved = state.save(self)
        self._saved_at, self.newest = self.iter, saved
        emit(self.sinks, records.Snapshotted(self.iter, model, saved))
        self._pruning(saved)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a solverstate: weights, history, iteration and rate policy; and from one of ours exactly, with
        all else that the next iteration depends on.

        Raises:
            SnapshotError: it cannot be read, or does not fit this net and solver type.  Nothing is changed then.
            LayerError: a layer of the user's own does not take its state back; the solver is of no use then.
        """
        self._restored = state.restore(self, path)
        self.rounds.forget()
        self.ended_early, self._saved_at, self._begun = False, None, None
        self.newest = os.fspath(path)
        self._note("SGDSolver: restoring history", "sgd_solver.cpp:336")

    def close(self) -> None:
        """Release files and threads of all nets."""
        for net in (self.net, *self.test_nets):
            net.close()
