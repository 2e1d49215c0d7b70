"""What may lie where the best weights go, and what becomes of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from caffelite.errors import DivergedError, SnapshotError
from caffelite.logs.records import BestKept, Note, Record
from caffelite.proto import BestOf
from caffelite.snapshot import best_name, read_best
from caffelite.solver import Solver

from .fakes import FakeNet, settings
from .test_follow_up import STOPPING, notes, of, scored, solver, stored, weight


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["BINARYPROTO", "HDF5"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def named(form: str, of: str = "") -> Path:
    return Path(f"{best_name('s', of)}{'.h5' if form == 'HDF5' else ''}")


def run(form: str, *values: float, **fields: Any) -> tuple[Solver, list[Record]]:
    training, said = solver(values, **(STOPPING | {"snapshot_format": form} | fields))
    training.solve()
    return training, said


def warned(said: list[Record]) -> list[str]:
    return [note.text for note in of(said, Note) if note.severity == "warning"]


def test_the_file_says_what_it_is_the_best_of(form: str) -> None:
    training, _ = run(form, 0.25, 0.5, 0.25)
    assert read_best(named(form)) == BestOf(run=training.run_id, iteration=2, output="acc", value=0.5)


def test_what_is_of_another_run_is_moved_aside(form: str) -> None:
    first, _ = run(form, 0.25, 0.75, 0.25)
    second, said = run(form, 0.5)
    aside = named(form, first.run_id)
    assert warned(said) == [
        f"{named(form)} is the best of another run, or of another output (acc = 0.75 at iteration 2): "
        f"it is called {aside} from now on"
    ]
    assert read_best(aside).value == 0.75
    assert stored(str(aside)) == -1.0
    assert (read_best(named(form)).run, stored(str(named(form)))) == (second.run_id, 0.0)
    assert weight(second.net) == 0.0


def test_what_is_of_another_output_is_moved_aside() -> None:
    training, _ = run("BINARYPROTO", 0.5)
    other, said = solver([0.75], **(STOPPING | {"early_stop": {"output": "loss", "mode": "MIN", "patience": 2}}))
    other.restore("s_iter_4.solverstate")
    assert other.run_id == training.run_id
    other.solve()
    assert len(warned(said)) == 1
    assert read_best(f"s_best_of_{training.run_id}.caffemodel").output == "acc"
    assert read_best("s_best.caffemodel") == BestOf(run=training.run_id, iteration=4, output="loss", value=0.75)


@pytest.mark.parametrize("content", ["weights", "rubbish", "nothing"])
def test_what_says_nothing_of_itself_is_moved_aside_under_its_time(form: str, content: str) -> None:
    training, _ = solver([0.5], **(STOPPING | {"snapshot_format": form}))
    training.snapshot()
    path = named(form)
    os.rename(f"s_iter_0.caffemodel{'.h5' if form == 'HDF5' else ''}", path)
    if content != "weights":
        path.write_bytes(b"rubbish" if content == "rubbish" else b"")
    before = path.read_bytes()
    os.utime(path, (10**9, 10**9))
    aside = named(form, time.strftime("%Y%m%d-%H%M%S", time.localtime(10**9)))
    training.step(1)
    said: list[Record] = []
    training, _ = solver([0.5], **(STOPPING | {"snapshot_format": form}))
    assert aside.read_bytes() == before
    # A second one of that time gets a name of its own.
    path.write_bytes(b"more")
    os.utime(path, (10**9, 10**9))
    training.sinks.append(said.append)
    training.step(1)
    second = Path(str(aside).replace(".caffemodel", "_2.caffemodel"))
    assert warned(said) == [f"{path} says nothing of a run: it is called {second} from now on"]
    assert (aside.read_bytes(), second.read_bytes()) == (before, b"more")


def test_a_run_id_that_is_no_name_of_a_file_is_not_taken_for_one() -> None:
    from caffelite.snapshot import NetParts, write_weights

    write_weights("s_best.caffemodel", NetParts("n", [], BestOf(run="../../x", iteration=1, output="a\33c", value=9)))
    _, said = run("BINARYPROTO", 0.5)
    assert len(warned(said)) == 1
    (aside,) = Path.cwd().glob("s_best_of_*")
    assert aside.name.startswith("s_best_of_2")
    assert "\33" not in warned(said)[0]
    assert read_best(aside).run == "../../x"


def test_a_resumed_run_does_not_overwrite_what_it_found_better_before(form: str) -> None:
    """The run went on to 0.75 and was resumed from a snapshot before that."""
    end = ".h5" if form == "HDF5" else ""
    run(form, 0.25, 0.5, 0.75, max_iter=4, snapshot=3)
    again, said = solver([0.625], **(STOPPING | {"snapshot_format": form}))
    again.solve(f"s_iter_3.solverstate{end}")
    # It sees 0.625 at iteration 4, which is better than the 0.5 it knows of.
    assert (again.iter, again.follow_up.early_stop.best) == (8, 0.625)
    assert of(said, BestKept) == []
    assert notes(said, str(named(form))) == [
        f"{named(form)} stays as it is, for it is better: acc = 0.75 at iteration 4"
    ]
    assert (read_best(named(form)).value, weight(again.net)) == (0.75, -2.0)


def test_an_equal_value_of_the_same_run_is_written_again(form: str) -> None:
    end = ".h5" if form == "HDF5" else ""
    run(form, 0.25, 0.5, 0.75, max_iter=4, snapshot=3)
    again, said = solver([0.75], **(STOPPING | {"snapshot_format": form}))
    again.solve(f"s_iter_3.solverstate{end}")
    assert [(record.iteration, record.value) for record in of(said, BestKept)] == [(4, 0.75)]
    assert warned(said) == []


def test_the_best_of_somebody_else_is_not_loaded() -> None:
    training, said = solver([0.5], **STOPPING)
    training.step(3)
    other = Solver(settings(**STOPPING), FakeNet(), [scored([0.75])])
    other.step(1)
    training.solve()
    assert weight(training.net) == -2.0
    assert warned(said) == ["s_best.caffemodel does not hold the best weights of this run: the net has its last ones"]
    assert read_best(f"s_best_of_{training.run_id}.caffemodel").value == 0.5


def test_a_best_that_was_deleted_is_not_loaded() -> None:
    training, said = solver([0.5], **STOPPING)
    training.step(3)
    Path("s_best.caffemodel").unlink()
    training.solve()
    assert weight(training.net) == -2.0
    assert len(warned(said)) == 1


def test_what_cannot_be_written_ends_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    training, _ = solver([0.5], **STOPPING)
    Path("s_best.caffemodel").mkdir()

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(SnapshotError, match=r"^s_best\.caffemodel: cannot be moved aside: Permission denied$"):
        training.step(1)


def test_weights_that_are_not_finite_are_no_best() -> None:
    training, _ = solver([0.5, 0.75], **STOPPING)
    training.watch = type(training.watch)(training, "stop")
    training.net.parameters[0].tensor.data.fill_(float("nan"))
    with pytest.raises(DivergedError):
        training.step(1)
    assert not Path("s_best.caffemodel").exists()
