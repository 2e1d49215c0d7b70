"""The weights that a test found best, in a file of their own, and back in the net when training ends."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import Fault, Place, SnapshotError
from ..logs.records import BestKept, Note, emit
from ..logs.text import number
from ..proto import BestOf, SolverParameter
from ..snapshot import best_name, read_best
from . import state
from .tracker import Tracker

if TYPE_CHECKING:
    from .solver import Solver


class Best:
    """Keeps the best weights of a run in `<prefix>_best.caffemodel`.

    What lies there is replaced only if it is of this run, and no better.  What is of another run, or of another output,
    is moved aside.

    Args:
        solver: the solver.
        tracker: watches the output that decides.

    Attributes:
        loaded_at: the iteration after which the best weights were put back into the net, or None.
    """

    def __init__(self, solver: Solver, tracker: Tracker) -> None:
        self.solver = solver
        self.tracker = tracker
        self.loaded_at: int | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self._named()

    def _named(self, of: str = "") -> Path:
        as_hdf5 = self.solver.settings.snapshot_format == SolverParameter.HDF5
        return Path(f"{best_name(self.solver.settings.snapshot_prefix, of)}{'.h5' * as_hdf5}")

    def keep(self, value: float) -> None:
        """Write the weights, which a test found to be worth `value`.

        Raises:
            SnapshotError: they cannot be written, or what is there cannot be moved aside.
            DivergedError: they are not finite, and on_nan is "stop".
        """
        solver = self.solver
        solver.watch.settle(weights=True)
        held = self._held()
        if self._is_ours(held) and self.tracker.gain(held.value, value) > 0:
            self._tell(f"{self.path} stays as it is, for it is better: {_told(held)}")
            return
        if self.path.exists() and not self._is_ours(held):
            self._move_aside(held)
        best = BestOf(run=solver.run_id, iteration=solver.iter, output=self.tracker.output, value=value)
        state.write_model(solver, str(self.path), best=best)
        emit(solver.sinks, BestKept(solver.iter, self.tracker.output, value, str(self.path)))

    def put_back(self) -> None:
        """Let the net have the best weights of this run again.

        Raises:
            SnapshotError: they do not fit the net any more.
        """
        held = self._held()
        if self._is_ours(held):
            self.solver.net.load_weights(str(self.path))
            self.loaded_at = self.solver.iter
            self._tell(f"The net has the best weights of the run now: {_told(held)}, {self.path}")
        elif self.tracker.best is not None:
            self._tell(f"{self.path} does not hold the best weights of this run: the net has its last ones", "warning")

    def _held(self) -> Any:
        """What the file says of itself; None where it says nothing, or there is none."""
        try:
            return read_best(self.path)
        except SnapshotError:
            return None

    def _is_ours(self, held: Any) -> bool:
        return held is not None and (held.run, held.output) == (self.solver.run_id, self.tracker.output)

    def _move_aside(self, held: Any) -> None:
        """Give the file a name that nothing has yet, with its run's id in it, or the time it was written."""
        path = self.path
        if held is not None and re.fullmatch(r"\w{1,64}", held.run, re.ASCII):
            of = held.run
        else:
            of = time.strftime("%Y%m%d-%H%M%S", time.localtime(path.stat().st_mtime))
        names = (self._named(f"{of}_{count}" if count > 1 else of) for count in range(1, 1 << 30))
        aside = next(name for name in names if not os.path.lexists(name))
        try:
            path.rename(aside)
        except OSError as error:
            raise SnapshotError(Fault(f"cannot be moved aside: {error.strerror or error}", Place(str(path)))) from error
        whose = "says nothing of a run"
        if held is not None:
            whose = f"is the best of another run, or of another output ({_told(held)})"
        self._tell(f"{path} {whose}: it is called {aside} from now on", "warning")

    def _tell(self, text: str, severity: Literal["info", "warning"] = "info") -> None:
        emit(self.solver.sinks, Note(str(Fault(text)), severity))  # whatever a file says of itself, a terminal is safe


def _told(held: Any) -> str:
    return f"{held.output} = {number(held.value)} at iteration {held.iteration}"
