"""How snapshots are called: `<prefix>_iter_<N>.caffemodel` and `.solverstate`, and `<prefix>_best.caffemodel`; with
`.h5` behind in HDF5."""

from __future__ import annotations

import os
import re
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


def snapshots(prefix: str | Path) -> list[Snapshot]:
    """Every snapshot of a prefix that has a solver state, oldest first; its weights may be missing."""
    folder, name = os.path.split(os.fspath(prefix))
    pattern = re.compile(rf"{re.escape(name)}_iter_(\d+)\.solverstate(\.h5)?")
    found = []
    for path in Path(folder).iterdir() if Path(folder).is_dir() else ():
        match = pattern.fullmatch(path.name)
        if match:
            model = path.with_name(f"{name}_iter_{match[1]}.caffemodel{match[2] or ''}")
            found.append(Snapshot(int(match[1]), model, path))
    return sorted(found)


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
