"""How snapshots are called: `<prefix>_iter_<N>.caffemodel` and `.solverstate`, and `<prefix>_best.caffemodel`; with
`.h5` behind in HDF5."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..errors import Fault, SnapshotError
from .caffemodel import read_weights
from .solverstate import read_state, weights_of


class Snapshot(NamedTuple):
    """The two files of one snapshot."""

    iteration: int
    model: Path
    state: Path


def snapshot_names(prefix: str | Path, iteration: int) -> tuple[Path, Path]:
    """Where weights and state of an iteration go (`Solver::SnapshotFilename` of src/caffe/solver.cpp)."""
    stem = f"{os.fspath(prefix)}_iter_{iteration}"
    return Path(f"{stem}.caffemodel"), Path(f"{stem}.solverstate")


def best_name(prefix: str | Path, of: str = "") -> Path:
    """Where the best weights of a run go; with `of`, those of another run that were there before."""
    return Path(f"{os.fspath(prefix)}_best{f'_of_{of}' if of else ''}.caffemodel")


def snapshot_files(prefix: str | Path) -> dict[int, list[Path]]:
    """The files of a prefix's snapshots, weights and states in either format, by iteration, oldest first."""
    folder, name = os.path.split(os.fspath(prefix))
    pattern = re.compile(rf"{re.escape(name)}_iter_(0|[1-9][0-9]*)\.(?:caffemodel|solverstate)(?:\.h5)?")
    found = defaultdict(list)
    for path in sorted(Path(folder).iterdir()) if Path(folder).is_dir() else ():
        if match := pattern.fullmatch(path.name):
            found[int(match[1])].append(path)
    return dict(sorted(found.items()))


def snapshots(prefix: str | Path) -> list[Snapshot]:
    """Every snapshot of a prefix that has a solver state, oldest first; its weights may be missing."""
    return [
        Snapshot(iteration, path.with_name(".caffemodel".join(path.name.rsplit(".solverstate", 1))), path)
        for iteration, files in snapshot_files(prefix).items()
        for path in files
        if path.name.removesuffix(".h5").endswith(".solverstate")
    ]


def newest(prefix: str | Path, passed_over: Callable[[Fault], object] = lambda fault: None) -> Snapshot | None:
    """The newest snapshot of a prefix that is whole: both files are there, can be read, and belong together.

    Args:
        prefix: what the names of its files begin with.
        passed_over: told what is wrong with newer ones.
    """
    for snapshot in reversed(snapshots(prefix)):
        try:
            return whole(snapshot)
        except SnapshotError as error:
            for fault in error.faults:
                passed_over(fault)
    return None


def whole(snapshot: Snapshot) -> Snapshot:
    """The snapshot, with its weights where they lie.

    Raises:
        SnapshotError: a file of it is missing or cannot be read, or the two do not belong together.
    """
    state = read_state(snapshot.state)
    model = weights_of(snapshot.state, replace(state, learned_net=state.learned_net or snapshot.model.name))
    assert model is not None
    read_weights(model)
    return snapshot._replace(model=model)
