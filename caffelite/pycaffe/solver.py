"""Solvers as scripts know them."""

from __future__ import annotations

import os

from .. import assembly
from . import state
from .net import Net


class SGDSolver:
    """A solver made from a file; every blob of its nets can be looked at.

    Raises:
        CaffeliteError: with every fault of the solver file, or of the first net that has any.
    """

    def __init__(self, solver_file: str | os.PathLike[str]) -> None:
        self.core = assembly.load_solver(solver_file, device=state.current_device(), observed=True, warn=state.warn)
        self.net = Net.of(self.core.net)
        self.test_nets = [Net.of(net) for net in self.core.test_nets]

    @property
    def iter(self) -> int:
        """Updates done so far."""
        return self.core.iter

    @property
    def ended_early(self) -> bool:
        """Whether early_stop has ended the training: further steps do nothing."""
        return self.core.ended_early

    def step(self, iterations: int) -> None:
        """Train for so many iterations, or until early_stop ends the training."""
        self.core.step(iterations)

    def solve(self, resume_file: str | None = None) -> None:
        """Train to max_iter or early_stop, from a solverstate where one is given."""
        self.core.solve(resume_file)

    def snapshot(self) -> None:
        """Write a caffemodel and a solverstate now."""
        self.core.snapshot()

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a solverstate.

        Raises:
            SnapshotError: the file cannot be read, or is of another net.
        """
        self.core.restore(os.fspath(path))


def get_solver(solver_file: str | os.PathLike[str]) -> SGDSolver:
    """The solver a file describes, of whatever type it names."""
    return SGDSolver(solver_file)
