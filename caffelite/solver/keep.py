"""Which snapshots stay: the newest few."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SnapshotError, UsageError
from ..logs.records import Note, emit
from ..snapshot import Snapshot, snapshot_files, snapshots, whole

if TYPE_CHECKING:
    from .solver import Solver


class Pruning:
    """Removes old snapshots of a solver's prefix when a new one was written, if `Solver.keep` says how many to keep.

    Kept are the new one, and the newest whole ones of earlier iterations; everything older than these goes, halves of
    snapshots included.  What is of later iterations, of another prefix, or called otherwise is nobody's business.
    """

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self._whole: set[Path] = set()

    def __call__(self, written: str) -> None:
        """The state `written` is that of the solver's iteration.

        Raises:
            UsageError: `keep` is below 1.
        """
        self._whole.add(Path(written))
        keep = self.solver.keep
        if keep is None:
            return
        if keep < 1:
            raise UsageError(f"keep must be at least 1, for the snapshot that was just written; got {keep}")
        try:
            oldest = self._oldest_kept(keep)
            files = snapshot_files(self.solver.settings.snapshot_prefix)
        except OSError as error:
            self._warn(f"Old snapshots cannot be removed: {error.strerror or error}")
            return
        for iteration in files:
            if iteration < oldest:
                self._remove(files[iteration], keep)

    def _oldest_kept(self, keep: int) -> int:
        kept = {self.solver.iter}
        for snapshot in reversed(snapshots(self.solver.settings.snapshot_prefix)):
            if len(kept) == keep:
                break
            if snapshot.iteration < self.solver.iter and self._is_whole(snapshot):
                kept.add(snapshot.iteration)
        return min(kept)

    def _is_whole(self, snapshot: Snapshot) -> bool:
        """Whether both files are there; those that this run did not write are read to see what is in them."""
        if snapshot.state in self._whole and snapshot.model.exists():
            return True
        try:
            whole(snapshot)
        except SnapshotError:
            return False
        self._whole.add(snapshot.state)
        return True

    def _remove(self, files: list[Path], keep: int) -> None:
        gone = []
        for path in files:
            try:
                path.unlink()
                gone.append(str(path))
            except OSError as error:
                self._warn(f"{path} cannot be removed: {error.strerror or error}")
        if gone:
            emit(self.solver.sinks, Note(f"Removed {', '.join(gone)} (keep: {keep})"))

    def _warn(self, text: str) -> None:
        emit(self.solver.sinks, Note(text, "warning"))
