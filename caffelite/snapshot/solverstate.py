"""Solver states: where a run stood, beside its weights (`src/caffe/solvers/sgd_solver.cpp`)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Fault, Place, SnapshotError
from .atomic import write_atomic
from .blobs import Array, decode, encode_all
from .hdf5 import read_state_fields
from .kinds import HDF5_MAGIC, Kind, binary_kind, fault, hdf5_kind, read_bytes
from .wire import BYTES, Piece, WireError, bytes_field, fields, number_field

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class SolverStateData:
    """What a solver state holds.

    Attributes:
        iter: updates done so far.
        learned_net: path of the weights written with it, as the run gave it; None where there is none.
        history: the solver's own arrays, in the order of the parameters; a second kind (AdaDelta, Adam) after all of
            the first.
        current_step: drops of the rate so far (lr_policy step and multistep).
    """

    iter: int
    learned_net: str | None
    history: list[Array]
    current_step: int = 0


def read_state(path: str | Path) -> SolverStateData:
    """Read a solver state, binary or HDF5, told by its content.

    Raises:
        SnapshotError: the file is missing, damaged, or something else (the message says what).
    """
    data = read_bytes(path)
    if data.startswith(HDF5_MAGIC):
        _expect(path, hdf5_kind(path), Kind.HDF5_STATE)
        return _in_range(path, SolverStateData(*read_state_fields(path)))
    _expect(path, binary_kind(data), Kind.STATE)
    try:
        return _in_range(path, _read_binary(memoryview(data)))
    except WireError as error:
        raise fault(path, f"the solver state is damaged: {error}") from error


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
        help = "to start from weights, give them to --weights; a run is resumed from its .solverstate"
        raise fault(path, f"no solver state can be read: the file is {kind.value}", help if is_weights else None)


def _read_binary(data: memoryview) -> SolverStateData:
    numbers, learned_net, history = {_ITER: 0, _CURRENT_STEP: 0}, None, []
    for number, kind, value, _, _ in fields(data):
        if number in numbers and isinstance(value, int):
            numbers[number] = value
        elif kind == BYTES and isinstance(value, memoryview):
            if number == _LEARNED_NET:
                learned_net = bytes(value).decode("utf-8", "backslashreplace")
            elif number == _HISTORY:
                history.append(decode(value)[0])
    return SolverStateData(numbers[_ITER], learned_net, history, numbers[_CURRENT_STEP])


def write_state(path: str | Path, state: SolverStateData) -> None:
    """Write a solver state in the original's binary form, atomically.

    Raises:
        SnapshotError: the file cannot be written.
    """
    pieces = _encode(state.iter, state.learned_net, state.history, state.current_step)
    write_atomic(path, lambda file: file.writelines(pieces))


def _encode(iteration: int, learned_net: str | None, history: Sequence[Any], step: int) -> list[Piece]:
    pieces: list[Piece] = [number_field(_ITER, iteration)]
    if learned_net is not None:
        pieces += bytes_field(_LEARNED_NET, [learned_net.encode()])
    return [*pieces, *encode_all(history, (), _HISTORY), number_field(_CURRENT_STEP, step)]


def find_learned_net(state_path: str | Path, learned_net: str) -> Path:
    """The weights a solver state names: where it says (from the working directory), else beside the state itself.

    Raises:
        SnapshotError: they are at neither place.
    """
    beside = Path(state_path).parent / re.split(r"[/\\]", learned_net)[-1]
    for candidate in (Path(learned_net), beside):
        if os.path.isfile(candidate):  # unlike Path.is_file it bears what a damaged state may name
            return candidate
    text = f"the weights that belong to this state are missing: neither {learned_net} nor {beside} exists"
    help = "put the .caffemodel beside the .solverstate"
    raise SnapshotError(Fault(text, Place(file=str(state_path)), help))
