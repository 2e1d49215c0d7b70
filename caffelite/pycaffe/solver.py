"""Solvers as scripts know them: a class a solver type."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from .. import assembly
from ..assembly import SolverFile
from ..errors import Fault, UsageError
from ..solver.policies import learning_rate
from ..solver.update import updates
from . import state, telling
from .net import Net

if TYPE_CHECKING:
    from google.protobuf.message import Message


class SolverParam:
    """The settings of a solver, as its file has them.  `base_lr` can be set; it counts from the next update on."""

    def __init__(self, core: Any, message: Any) -> None:
        self.__dict__.update(_core=core, _message=message)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if name in ("base_lr", "max_iter"):
            return getattr(self._core.settings, name)
        return getattr(self._message, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "base_lr":
            raise UsageError(f"{name} cannot be set any more: the solver is made", help="only base_lr can")
        if not math.isfinite(value) or value < 0:
            raise UsageError(f"base_lr must be at least 0 and finite, got {value}")
        self._core.settings = replace(self._core.settings, base_lr=float(value))

    def __repr__(self) -> str:
        return str(self._message)


class SGDSolver:
    """A solver made from a file or a SolverParameter; every blob of its nets can be looked at after each call.

    The class says what type it is, whatever the file says; `get_solver` makes the type that the file names.

    Attributes:
        net: the net that is trained.
        test_nets: those that test it; they use its weights.
        param: the settings.

    Raises:
        CaffeliteError: with every fault of the solver file, or of the first net that has any.
    """

    kind: ClassVar[str] = "SGD"

    def __init__(self, solver_file: str | os.PathLike[str] | Message) -> None:
        file = assembly.read_solver(solver_file)
        if file.settings.type != self.kind:
            text = f"{type(self).__name__} trains with {self.kind}, and the file says {file.settings.type}"
            help = "get_solver makes the type that the file names"
            state.warn(Fault(text, file.places("type"), help, severity="warning"))
            file = assembly.read_solver(solver_file, sets=[f'type="{self.kind}"'])
        self._make(file)

    def _make(self, file: SolverFile) -> None:
        for fault in file.warnings:
            state.warn(fault)
        telling.attend()
        self.core = assembly.make_solver(file, device=state.current_device(), warn=state.warn, seed=state.next_seed())
        self.core.shows = True
        self.core.sinks.append(telling.shown)
        self.net = Net.of(self.core.net)
        self.test_nets = [Net.of(net) for net in self.core.test_nets]
        self.param = SolverParam(self.core, file.message)

    def __repr__(self) -> str:
        done = f"{self.iter} of {self.core.settings.max_iter} iterations"
        return f'<{type(self).__name__} of net "{self.net.name}", {done}>'

    @property
    def iter(self) -> int:
        """Updates done so far."""
        return self.core.iter

    @property
    def lr(self) -> float:
        """The rate of the next update."""
        return learning_rate(self.core.settings, self.core.iter, self.core.current_step)[0]

    @property
    def ended_early(self) -> bool:
        """Whether early_stop has ended the training: further steps do nothing."""
        return self.core.ended_early

    def step(self, iterations: int) -> None:
        """Train for so many iterations, or until early_stop ends the training."""
        self.core.step(iterations)

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train to max_iter or early_stop, from a solverstate where one is given."""
        self.core.solve(resume_file)

    def apply_update(self) -> None:
        """Update the weights from the gradients the net holds now, and count it as an iteration.

        Raises:
            UsageError: the solver type searches, and gradients are not enough for that.
        """
        self.core.apply_update()

    def add_callback(
        self, on_start: Callable[[], object], on_gradients_ready: Callable[[], object] | None = None
    ) -> None:
        """Functions to call in every iteration: before its first forward, and between gradients and update.

        Raises:
            UsageError: not two functions are given.
        """
        if not (callable(on_start) and callable(on_gradients_ready)):
            raise UsageError("add_callback takes two functions: on_start and on_gradients_ready")
        self.core.add_callback(on_start, on_gradients_ready)

    def share_weights(self, net: Net) -> None:
        """Let a net use the weights that this solver trains.

        Raises:
            SnapshotError: layers of one name have weights of other shapes.
        """
        net.share_with(self.net)

    def snapshot(self) -> None:
        """Write a caffemodel and a solverstate now.

        Raises:
            SnapshotError: they cannot be written.
        """
        self.core.snapshot()

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a solverstate.

        Raises:
            SnapshotError: the file cannot be read, or is of another net.
        """
        self.core.restore(os.fspath(path))


@cache
def solver_class(kind: str) -> type[SGDSolver]:
    """The class of a solver type: `AdamSolver` for "Adam".

    Raises:
        AttributeError: there is no such type.
    """
    if kind not in updates:
        known = ", ".join(f"{name}Solver" for name in updates.names())
        raise AttributeError(f"there is no solver type {kind!r}; known: {known}")
    if kind == SGDSolver.kind:
        return SGDSolver
    about = f"A solver of type {kind!r}, made from a file; see :class:`SGDSolver`."
    return type(f"{kind}Solver", (SGDSolver,), {"kind": kind, "__doc__": about, "__module__": __package__})


def get_solver(solver_file: str | os.PathLike[str] | Message) -> SGDSolver:
    """The solver a file, or a SolverParameter, describes, of the type it names.

    Raises:
        CaffeliteError: with every fault of the solver file, or of the first net that has any.
    """
    file = assembly.read_solver(solver_file)
    cls = solver_class(file.settings.type)
    solver = cls.__new__(cls)
    solver._make(file)
    return solver
