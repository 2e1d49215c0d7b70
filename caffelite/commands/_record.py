"""The record that `caffelite train` keeps of a run: its nets and its solver as they were run, and every start of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.telling import exists
from ..errors import CaffeliteError, Fault
from ._kit import command_line

if TYPE_CHECKING:
    from ..assembly import SolverFile
    from ..logs.run_record import RunRecord
    from ..solver import Solver

_NETS = (
    "net", "net_param", "train_net", "train_net_param", "test_net", "test_net_param", "train_state", "test_state",
)  # fmt: skip
"""What a solver says of its nets, in whose place the record's own come."""


def folder_of(prefix: str, run_dir: Path | None) -> Path:
    """Where the record of a run lies."""
    return run_dir or Path(f"{prefix}_run")


def seed_of(folder: Path) -> int | None:
    """The seed of the run that a resumed one goes on with, where its record says."""
    from ..logs.run_record import sessions

    seeds = [session["seed"] for session in sessions(folder) if isinstance(session.get("seed"), int)]
    return seeds[-1] if seeds else None


def record_of(file: SolverFile, solver: Solver, folder: Path, snapshot: str | None) -> RunRecord:
    """The record of the run, with the nets as they were run."""
    from ..graph.filtering import filter_net
    from ..logs.run_record import RunRecord
    from ..prototxt import dump

    nets = {"train.prototxt": (file.train, file.train_state)}
    for index, (net, state) in enumerate(zip(file.tests, file.test_states, strict=True)):
        nets[f"test_{index}.prototxt"] = (net, state)
    texts = {}
    for name, (net, state) in nets.items():
        kept, _, _ = filter_net(net.message, state, net.places)
        for layer in kept.layer:  # the rules have been applied; under another state they would apply again
            layer.ClearField("include")
            layer.ClearField("exclude")
        if net.path is not None:
            _name_where_found(kept, Path(net.path).parent)
        texts[name] = dump(kept)
    with _telling(folder):
        record = RunRecord(folder, resumed=snapshot is not None)
        record.write(texts)
    return record


def _name_where_found(message: Any, beside: Path) -> None:
    """Files that were found beside a net, and not from the working directory, are named from there."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                _name_where_found(one, beside)
        elif field.name in ("source", "mean_file") and not exists(value) and exists(beside / value):
            setattr(message, field.name, str(beside / value))


def note_session(record: RunRecord, file: SolverFile, solver: Solver, snapshot: str | None) -> None:
    """Note the start, and the solver as it is run: with these nets, and this seed."""
    from ..prototxt import dump

    again = type(file.message)()
    again.CopyFrom(file.message)
    for field in _NETS:
        again.ClearField(field)
    again.train_net = str(record.folder / "train.prototxt")
    again.test_net.extend(str(record.folder / f"test_{index}.prototxt") for index in range(len(file.tests)))
    again.random_seed = solver.net.run.seed
    with _telling(record.folder):
        record.write({"solver.prototxt": dump(again)})
        record.session(
            command_line(), solver.net.run.seed, solver=file.path, snapshot=snapshot, iteration=solver.iter,
            run=solver.run_id, device=str(solver.net.run.device),
        )  # fmt: skip


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CaffeliteError(
            Fault(f"the run's record cannot be kept in {folder}: {error.strerror}", help="name another: --run-dir DIR")
        ) from error
