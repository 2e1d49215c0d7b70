"""Solver states: where a run stood, beside its weights (`src/caffe/solvers/sgd_solver.cpp`)."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from ..errors import Fault, Place, SnapshotError
from ..proto import RunState
from .atomic import write_atomic
from .blobs import Array, decode, encode_all
from .hdf5 import read_state_fields
from .kinds import HDF5_MAGIC, Kind, binary_kind, fault, hdf5_kind, read_bytes
from .wire import BYTES, Piece, WireError, bytes_field, fields, number_field

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP, _RUN = 1, 2, 3, 4, 5000

FARTHEST = 1 << 62
"""More records or forwards than any run has."""


@dataclass(frozen=True, slots=True)
class SolverStateData:
    """What a solver state holds.

    Attributes:
        iter: updates done so far.
        learned_net: path of the weights written with it, as the run gave it; None where there is none.
        history: the solver's own arrays, in the order of the parameters; a second kind (AdaDelta, Adam) after all of
            the first.
        current_step: drops of the rate so far (lr_policy step, multistep and plateau).
        run: all else that the next iteration depends on (a RunState); None in states of the original.
    """

    iter: int
    learned_net: str | None
    history: list[Array]
    current_step: int = 0
    run: Any = None


def read_state(path: str | Path) -> SolverStateData:
    """Read a solver state, binary or HDF5, told by its content.

    Raises:
        SnapshotError: the file is missing, damaged, or something else (the message says what).
    """
    data = read_bytes(path)
    if data.startswith(HDF5_MAGIC):
        _expect(path, hdf5_kind(path), Kind.HDF5_STATE)
        iteration, learned_net, history, step, run = read_state_fields(path)
        state = SolverStateData(iteration, learned_net, history, step, _run_of(path, run))
        return _in_range(path, state)
    _expect(path, binary_kind(data), Kind.STATE)
    try:
        state, run = _read_binary(memoryview(data))
    except WireError as error:
        raise fault(path, f"the solver state is damaged: {error}") from error
    return _in_range(path, replace(state, run=_run_of(path, run)))


def _run_of(path: str | Path, data: bytes | None) -> Any:
    """The RunState in these bytes, if its numbers can be counts."""
    if data is None:
        return None
    try:
        run = RunState.FromString(data)
    except DecodeError as error:
        raise fault(path, f"the solver state is damaged: what it says of the run cannot be read ({error})") from error
    for position in run.net:
        if not 0 <= position.position < FARTHEST:
            raise fault(path, f"the solver state is damaged: a net has made {position.position} forwards")
    return run


def _in_range(path: str | Path, state: SolverStateData) -> SolverStateData:
    """The state, if its numbers can be counts; both are int32 in the schema."""
    for name in ("iter", "current_step"):
        count = getattr(state, name)
        if not 0 <= count < 1 << 31:
            raise fault(path, f"the solver state is damaged: {name} is {count}")
    return state


def _expect(path: str | Path, kind: Kind, wanted: Kind) -> None:
    if kind is not wanted:
        is_weights = kind in (Kind.WEIGHTS, Kind.HDF5_WEIGHTS)
        help = "weights to start from are for --weights, or net.copy_from; a run is resumed from its .solverstate"
        raise fault(path, f"no solver state can be read: the file is {kind.value}", help if is_weights else None)


def _read_binary(data: memoryview) -> tuple[SolverStateData, bytes | None]:
    """The state without its RunState, and the bytes of that."""
    numbers, learned_net, history, run = {_ITER: 0, _CURRENT_STEP: 0}, None, [], None
    for number, kind, value, _, _ in fields(data):
        if number in numbers and isinstance(value, int):
            numbers[number] = value
        elif kind == BYTES and isinstance(value, memoryview):
            if number == _LEARNED_NET:
                learned_net = bytes(value).decode("utf-8", "backslashreplace")
            elif number == _HISTORY:
                history.append(decode(value)[0])
            elif number == _RUN:
                run = bytes(value)
    return SolverStateData(numbers[_ITER], learned_net, history, numbers[_CURRENT_STEP]), run


def write_state(path: str | Path, state: SolverStateData) -> None:
    """Write a solver state in the original's binary form, atomically.

    Raises:
        SnapshotError: the file cannot be written.
    """
    pieces = _encode(state)
    write_atomic(path, lambda file: file.writelines(pieces))


def _encode(state: SolverStateData) -> list[Piece]:
    pieces: list[Piece] = [number_field(_ITER, state.iter)]
    if state.learned_net is not None:
        pieces += bytes_field(_LEARNED_NET, [state.learned_net.encode()])
    pieces += [*encode_all(state.history, (), _HISTORY), number_field(_CURRENT_STEP, state.current_step)]
    if state.run is not None:
        pieces += bytes_field(_RUN, [state.run.SerializeToString(deterministic=True)])
    return pieces


def digest_of(path: str | Path) -> bytes:
    """The digest of a weights file that a state keeps.

    Raises:
        SnapshotError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError as error:
        raise fault(path, f"cannot be read: {error.strerror or error}") from error


def weights_of(state_path: str | Path, state: SolverStateData) -> Path | None:
    """The weights that belong to a state; None where it names none.

    Raises:
        SnapshotError: they are missing, or others than those that were written with it.
    """
    if not state.learned_net:
        return None
    paths = find_learned_net(state_path, state.learned_net)
    if state.run is None or not state.run.weights_digest:
        return paths[0]
    for path in paths:
        if digest_of(path) == state.run.weights_digest:
            return path
    found = " and ".join(map(str, paths))
    help = "go on from another snapshot, or put the weights that were written with this state beside it"
    text = f"{found} {'does' if len(paths) == 1 else 'do'} not hold the weights that were written with this state"
    raise fault(state_path, text, help)


def find_learned_net(state_path: str | Path, learned_net: str) -> list[Path]:
    """The weights a solver state names: where it says (from the working directory), and beside the state itself.

    Raises:
        SnapshotError: they are at neither place.
    """
    beside = Path(state_path).parent / re.split(r"[/\\]", learned_net)[-1]
    # Unlike Path.is_file, isfile bears what a damaged state may name.
    found = [path for path in dict.fromkeys((Path(learned_net), beside)) if os.path.isfile(path)]
    if found:
        return found
    text = f"the weights that belong to this state are missing: neither {learned_net} nor {beside} exists"
    help = "put the .caffemodel beside the .solverstate"
    raise SnapshotError(Fault(text, Place(file=str(state_path)), help))
