"""The watch over a training: does its loss stay finite, and where did it cease to?

A look at each iteration, before its update, finds weights that are still sound.  But on a GPU a look waits for the
device, and on the CPU it reads all gradients, which a small net feels.  There the losses are kept, as tensors, until
something is displayed, tested or written; when one of them is not finite, training goes back to a copy of weights and
history that was made after the last look, and makes the iterations since then again, looking at each.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import DivergedError, Fault, SettingsError
from ..layerkit.base import torch
from ..logs.records import Note, emit
from ..logs.text import number
from ..net.census import finite
from ..net.moment import Moment
from ..net.search import Sought, broken_weights, find
from .findings import Finding, begun, placed
from .policies import learning_rate
from .smoothing import MOST_PENDING
from .testing import Average

if TYPE_CHECKING:
    from torch import Tensor

    from .solver import Solver

OnNan = Literal["stop", "warn", "ignore"]
"""What to do when training is not finite any more: end it with an error, tell it once and go on, or not even look."""


_SMALL = 16 << 20
"""Bytes of weights and history that are quickly copied."""
_MANY = 50
"""Iterations after which such a copy has cost less than looks."""


class _Checkpoint:
    """A solver at the beginning of an iteration, with its weights and history."""

    def __init__(self, solver: Solver) -> None:
        self.moment = Moment(solver.net, whole=True)
        self.history = [slot.clone() for slot in solver.rule.history]
        self.iter, self.current_step = solver.iter, solver.current_step

    def put_back(self, solver: Solver, net: Any) -> None:
        """Let the solver and `net`, its own or the double of it, stand there again."""
        self.moment.put_back(net)
        for slot, values in zip(solver.rule.history, self.history, strict=True):
            slot.copy_(values)
        solver.rule.history_changed()
        solver.iter, solver.current_step = self.iter, self.current_step


class Watch:
    """Looks after the training of a solver.

    Args:
        solver: the solver.
        on_nan: see :data:`OnNan`.

    Attributes:
        over: nobody looks, or not any more.
        defers_from: in a training of so many iterations or more losses are kept until `settle`, instead of being looked
            at in each iteration.  It never is for a solver type that searches, which waits for losses anyway.

    Raises:
        SettingsError: there is no such `on_nan`.
    """

    def __init__(self, solver: Solver, on_nan: OnNan) -> None:
        if on_nan not in get_args(OnNan):
            raise SettingsError(f'on_nan must be one of {", ".join(get_args(OnNan))}, got "{on_nan}"')
        self.solver = solver
        self.stops = on_nan == "stop"
        self.over = on_nan == "ignore"
        self.defers_from = self._least()
        self._deferred = False
        self._first = 0
        self._start: Moment | None = None
        self._checkpoint: _Checkpoint | None = None
        self._losses: list[Tensor] = []
        self._tests_told: set[int] = set()

    def _least(self) -> float:
        """What `defers_from` is to begin with."""
        if self.over or self.solver.rule.searches:
            return math.inf
        if self.solver.net.run.device.type != "cpu":
            return 0
        tensors = [*self.solver.rule.history, *(parameter.tensor for parameter in self.solver.net.parameters)]
        return _MANY if sum(tensor.nbytes for tensor in tensors) <= _SMALL else math.inf

    # -- training -------------------------------------------------------------------------------------------------

    def begin(self, iterations: int) -> None:
        """Training of so many iterations begins or goes on; what an error left half done is forgotten."""
        self._deferred = iterations >= self.defers_from
        self._first = self.solver.iter
        self._losses.clear()
        self._checkpoint = None

    def before(self, start: Moment) -> None:
        """An iteration begins; its net stands at `start`."""
        self._start = None if self.over else start
        if self._deferred and self._checkpoint is None and not self.over:
            self._checkpoint = _Checkpoint(self.solver)

    @property
    def patience(self) -> float:
        """How many more iterations nobody need look at: infinity where nobody looks; 0 where each is looked at."""
        if self.over:
            return math.inf
        return MOST_PENDING - len(self._losses) if self._deferred else 0

    def at_once(self) -> None:
        """Look at each iteration from now on: what follows from them cannot be done again."""
        self.settle()
        self.defers_from, self._deferred = math.inf, False

    def after(self, loss: Tensor) -> None:
        """An iteration has its loss and its gradients; its update is still to come.

        Raises:
            DivergedError: they are not finite, and that is to stop the training.
            LayerError: because a label is no class (see `find`).
        """
        if self._start is None:
            return
        if not self._deferred:
            self._take(self._look(self.solver.net, loss, self._start))
        else:
            self._losses.append(loss)
            if len(self._losses) >= MOST_PENDING:
                self.settle()

    def settle(self, *, weights: bool = False) -> None:
        """Look at the losses that were kept and, where `weights` are to be written or left to others, at these.

        Raises:
            DivergedError, LayerError: as `after` does.
        """
        if self.over:
            return
        losses = torch.stack(self._losses).tolist() if self._losses else []
        self._losses.clear()
        checkpoint, self._checkpoint = self._checkpoint, None
        odd = next((index for index, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if odd is None and not (weights and not finite(one.tensor for one in self.solver.net.parameters)):
            return
        finding = self._repeat(checkpoint, len(losses)) if checkpoint is not None else None
        if finding is None and checkpoint is not None and odd is not None:
            iteration = checkpoint.iter + odd
            finding = Finding("loss", iteration, self._rate(iteration), losses[odd], None)
        self._take(finding or self._weights())

    def _look(self, net: Any, loss: Tensor, start: Moment) -> Finding | None:
        """What is not finite in the iteration that `net`, the solver's or the double of it, just made."""
        value, iteration = float(loss), self.solver.iter
        if math.isfinite(value) and finite(parameter.grad for parameter in net.parameters):
            return None
        sought: Literal["loss", "gradient"] = "gradient" if math.isfinite(value) else "loss"
        origin = find(net, start, self.solver.settings.iter_size, sought)
        if self.stops:
            start.put_back(net)
        if origin is not None and origin.in_weights:
            return self._weights()
        return Finding(sought, iteration, self._rate(iteration), value, origin)

    def _repeat(self, checkpoint: _Checkpoint, count: int) -> Finding | None:
        """Make `count` iterations again, looking at each until one shows what is not finite."""
        solver, now = self.solver, _Checkpoint(self.solver)
        double, finding = solver.net.double(), None
        checkpoint.put_back(solver, double)
        try:
            for _ in range(count):
                double.clear_gradients()
                start = Moment(double)
                finding = self._look(double, solver.accumulate(double), start)
                if finding is not None:
                    break
                solver.apply_update()
        finally:
            if finding is None or not self.stops:
                now.put_back(solver, solver.net)
            else:
                solver.net.run.position = double.run.position
        return finding

    def _weights(self) -> Finding:
        """The finding of weights that are not finite after the last update."""
        iteration = self.solver.iter - 1 if self.solver.iter > self._first else -1
        return Finding("weights", iteration, self._rate(max(iteration, 0)), None, broken_weights(self.solver.net))

    def _rate(self, iteration: int) -> float:
        return learning_rate(self.solver.settings, iteration, self.solver.current_step).rate

    def _take(self, finding: Finding | None) -> None:
        """Do what is to be done about a finding."""
        if finding is None:
            return
        emit(self.solver.sinks, finding.record())
        fault = finding.fault(self.solver.newest)
        if self.stops:
            raise DivergedError(fault)
        self.over = True
        self._warn(fault)

    def _warn(self, fault: Fault) -> None:
        emit(self.solver.sinks, Note(str(replace(fault, severity="warning")), "warning"))

    # -- passes that do not train ---------------------------------------------------------------------------------

    def where(self, net: Any) -> Moment | None:
        """Where a net stands, to be given to `tested` or `ended` later; None where nobody looks."""
        return None if self.over else Moment(net)

    def tested(self, index: int, start: Moment | None, result: Average) -> None:
        """Warn, once for each test net, of outputs that are not finite.

        Raises:
            LayerError: as `after` does.
        """
        odd = [f'mean of "{value.name}"' for value in result.outputs if not math.isfinite(value.value)]
        if not math.isfinite(result.loss or 0):
            odd.append("mean loss")
        if start is None or not odd or index in self._tests_told:
            return
        self._tests_told.add(index)
        batches = self.solver.settings.test_nets[index].test_iter
        told = f"the {odd[0]} over the {batches} batches of test net #{index} is not finite; "
        self._tell(self.solver.test_nets[index], start, batches, "outputs", told)

    def ended(self, start: Moment | None, loss: Tensor) -> None:
        """Warn of the loss after the last update, if it is not finite.

        Raises:
            LayerError: as `after` does.
        """
        if start is not None and not math.isfinite(float(loss)):
            self._tell(self.solver.net, start, 1, "loss", f"the loss after the last update is {number(float(loss))}; ")

    def _tell(self, net: Any, start: Moment, passes: int, sought: Sought, told: str) -> None:
        origin = find(net, start, passes, sought)
        self._warn(placed(origin, told + begun(origin)))
