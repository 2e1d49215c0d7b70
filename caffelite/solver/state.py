"""A solver on disk and back: which files, what is in them, and whether they fit.

Source: `Solver::Snapshot` in `src/caffe/solver.cpp`, `SGDSolver::SnapshotSolverState…` and `Restore…` in
`src/caffe/solvers/sgd_solver.cpp`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Fault, Place, SnapshotError
from ..layerkit.base import torch
from ..proto import SolverParameter
from ..snapshot import (
    SolverStateData,
    digest_of,
    hdf5,
    read_state,
    snapshot_names,
    weights_of,
    write_state,
)
from . import run_state
from .tracker import Seen

if TYPE_CHECKING:
    from torch import Tensor

    from .solver import Solver

log = logging.getLogger("caffelite")

Shape = tuple[int, ...]


def save(solver: Solver) -> tuple[str, str]:
    """Write weights, then state, each atomically, in the format the settings ask for; returns both paths.

    Raises:
        SnapshotError: they cannot be written.
    """
    settings = solver.settings
    as_hdf5 = settings.snapshot_format == SolverParameter.HDF5
    model, saved = (str(path) + ".h5" * as_hdf5 for path in snapshot_names(settings.snapshot_prefix, solver.iter))
    before = solver.rounds.before()
    run = run_state.taken(solver, before)
    write_model(solver, model, diff=settings.snapshot_diff)
    run.weights_digest = digest_of(model)
    history = [_array(slot) for slot in solver.rule.history]
    data = SolverStateData(solver.iter, model, history, before.seen.current_step, run)
    (hdf5.write_state if as_hdf5 else write_state)(saved, data)
    return model, saved


def write_model(solver: Solver, path: str, *, diff: bool = False, best: Any = None) -> None:
    """Write the weights (and gradients) atomically, in the format the settings ask for.

    Args:
        best: what they are the best of (a BestOf), to be noted in the file.

    Raises:
        SnapshotError: they cannot be written.
    """
    as_hdf5 = solver.settings.snapshot_format == SolverParameter.HDF5
    solver.net.save(path, diff=diff, best=best, as_hdf5=as_hdf5)


def restore(solver: Solver, path: str | os.PathLike[str]) -> bool:
    """Put the state at `path` (binary or HDF5, told by content), and the weights it names, into the solver.

    Returns:
        Whether the run goes on exactly: the original's states say nothing of data and chance, which begin anew.

    Raises:
        SnapshotError: something cannot be read or does not fit.  Nothing is changed then.
        LayerError: a layer of the user's own does not take its state back; the solver is of no use then.
    """
    file = os.fspath(path)
    data = read_state(file)
    _check_history(solver, data.history, file)
    if data.run is not None:
        _check_run(solver, data.run, file)
    weights = weights_of(file, data)
    if weights is not None:
        solver.net.load_weights(str(weights))
    else:
        log.warning("%s names no weights (learned_net): the net keeps those it has", file)
    with torch.no_grad():
        for slot, values in zip(solver.rule.history, data.history, strict=True):
            slot.copy_(torch.from_numpy(np.array(values, np.float32)).reshape(slot.shape))
    solver.rule.history_changed()
    for parameter in solver.net.parameters:
        parameter.update = None
    solver.iter = data.iter
    solver.follow_up.restore(Seen(data.current_step, _seen(data.run, "early_stop"), _seen(data.run, "plateau")))
    if data.run is None:
        solver.rule.remember({})
    else:
        run_state.put_back(solver, data.run)
    return data.run is not None


def _check_run(solver: Solver, run: Any, file: str) -> None:
    try:
        run_state.check(solver, run)
    except SnapshotError as error:
        help = "go on from another snapshot"
        faults = [replace(fault, help=fault.help or help).at(Place(file)) for fault in error.faults]
        raise SnapshotError(faults) from error


def _seen(run: Any, field: str) -> Any:
    """The TestWatchState in a field of a RunState, where it has one."""
    return getattr(run, field) if run is not None and run.HasField(field) else None


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().contiguous().numpy()
    return array


def _check_history(solver: Solver, stored: Sequence[Any], file: str) -> None:
    wanted = solver.rule.history
    if len(stored) != len(wanted):
        kind, count = solver.settings.type, len(solver.net.parameters)
        raise SnapshotError(
            Fault(
                f"the state holds {len(stored)} history blobs; type {kind} needs {len(wanted)} for the "
                f"{count} parameters of this net",
                Place(file),
                "the state was written by another net or by another solver type (AdaDelta, Adam and AdamW have two "
                "history blobs a parameter, LBFGS and ConjugateGradient none, the others one)",
            )
        )
    names = [parameter.name for parameter in solver.net.parameters]
    faults = [
        Fault(
            f"history blob {index} has shape {tuple(values.shape)}; parameter {names[index % len(names)]} of this net "
            f"has {tuple(slot.shape)}",
            Place(file),
        )
        for index, (values, slot) in enumerate(zip(stored, wanted, strict=True))
        if not _fits(tuple(values.shape), tuple(slot.shape))
    ]
    if faults:
        raise SnapshotError(faults)


def _fits(stored: Shape, wanted: Shape) -> bool:
    """Equal, or the four axes of old files with ones in front."""
    return stored == wanted or (len(stored) == 4 and len(wanted) < 4 and stored == (1,) * (4 - len(wanted)) + wanted)
