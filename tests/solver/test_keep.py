"""Which snapshots stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from caffelite.errors import UsageError
from caffelite.logs.records import Note, Record, Snapshotted
from caffelite.solver import Solver

from .fakes import FakeNet, settings


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def solver(keep: int | None, **fields: Any) -> tuple[Solver, list[Record]]:
    said: list[Record] = []
    training = Solver(settings(**({"snapshot": 1, "snapshot_prefix": "s"} | fields)), FakeNet(), sinks=[said.append])
    training.keep = keep
    return training, said


def there() -> list[str]:
    return sorted(str(path) for path in Path().iterdir())


def pair(iteration: int, end: str = "", prefix: str = "s") -> list[str]:
    return [f"{prefix}_iter_{iteration}.{kind}{end}" for kind in ("caffemodel", "solverstate")]


def notes(said: list[Record], severity: str = "info") -> list[str]:
    return [record.text for record in said if isinstance(record, Note) and record.severity == severity]


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("keep", [1, 2, 3, 9])
def test_the_newest_stay(keep: int, form: str) -> None:
    end = ".h5" if form == "HDF5" else ""
    training, said = solver(keep, snapshot_format=form)
    training.step(5)
    assert there() == sorted(name for number in range(max(1, 6 - keep), 6) for name in pair(number, end))
    removed = [f"Removed {', '.join(pair(number, end))} (keep: {keep})" for number in range(1, 6 - keep)]
    assert notes(said) == removed
    # Only when the new one is there.
    told = [type(record) for record in said if isinstance(record, Snapshotted | Note)]
    assert told == [Snapshotted] * min(keep, 5) + [Snapshotted, Note] * len(removed)


def test_without_a_number_all_of_them_stay() -> None:
    training, said = solver(None)
    training.step(4)
    assert there() == sorted(name for number in range(1, 5) for name in pair(number))
    assert notes(said) == []


@pytest.mark.parametrize("keep", [0, -1])
def test_none_cannot_be_kept(keep: int) -> None:
    training, _ = solver(keep)
    with pytest.raises(UsageError, match=f"keep must be at least 1, .*got {keep}"):
        training.step(1)
    assert there() == pair(1)


def start(at: int, keep: int, **fields: Any) -> list[Record]:
    """Write a snapshot of this iteration."""
    training, said = solver(keep, **fields)
    training.iter = at
    training.snapshot()
    return said


def whole(iteration: int, end: str = "") -> None:
    """A snapshot that another run wrote."""
    training, _ = solver(None, snapshot_format="HDF5" if end else "BINARYPROTO")
    training.iter = iteration
    training.snapshot()


def test_what_is_not_a_snapshot_of_the_prefix_is_left_alone() -> None:
    names = [
        "s_best.caffemodel", "s_best_of_1.caffemodel", "other_s_iter_1.caffemodel", "s_2_iter_1.solverstate",
        "s_iter_1.caffemodel.bak", "s_iter_.caffemodel", "s_iter_01.caffemodel", "s_iter_1.txt", "S_iter_1.caffemodel",
        "s_iter_1_best.caffemodel", "s_iter_-1.caffemodel",
    ]  # fmt: skip
    for name in names:
        Path(name).touch()
    Path("s_iter_1.caffemodel").touch()
    start(9, 1)
    assert there() == sorted([*names, *pair(9)])


@pytest.mark.parametrize("prefix", ["a[1]", "a.b+", "folder/x"])
def test_a_prefix_is_taken_literally(prefix: str) -> None:
    Path("folder").mkdir()
    Path("folder/keep").touch()
    training, _ = solver(1, snapshot_prefix=prefix)
    training.step(3)
    assert sorted(str(path) for path in Path().rglob("*iter*")) == pair(3, prefix=prefix)


def test_half_snapshots_do_not_count_and_go_with_those_older_than_the_oldest_kept() -> None:
    for iteration in (1, 2, 3, 4, 5, 6):
        whole(iteration)
    Path("s_iter_2.solverstate").unlink()
    Path("s_iter_4.caffemodel").unlink()
    Path("s_iter_5.solverstate").unlink()
    start(7, 3)
    # 7, 6 and 3 are whole; 5 and 4 are newer than 3.
    assert there() == sorted([*pair(7), *pair(6), "s_iter_5.caffemodel", "s_iter_4.solverstate", *pair(3)])


def test_damaged_ones_do_not_count() -> None:
    for iteration in (1, 2, 3):
        whole(iteration)
    for name in pair(3):
        path = Path(name)
        path.write_bytes(path.read_bytes()[:-3])
    start(4, 2)
    assert there() == sorted([*pair(4), *pair(3), *pair(2)])


def test_fewer_whole_ones_than_asked_for() -> None:
    whole(3)
    Path("s_iter_1.caffemodel").touch()
    Path("s_iter_5.caffemodel").touch()
    start(7, 4)
    assert there() == sorted([*pair(7), *pair(3), "s_iter_5.caffemodel"])


def test_what_is_of_later_iterations_is_left_alone() -> None:
    """A run that began anew, or was resumed from an earlier snapshot, does not destroy what came later."""
    for iteration in (2, 4, 20):
        whole(iteration)
    start(5, 2)
    assert there() == sorted([*pair(20), *pair(5), *pair(4)])


def test_both_formats_count_together() -> None:
    whole(1)
    whole(2, ".h5")
    whole(3)
    start(4, 2, snapshot_format="HDF5")
    assert there() == sorted([*pair(4, ".h5"), *pair(3)])


def test_what_cannot_be_removed_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    whole(1)
    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self.name == "s_iter_1.caffemodel":
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    said = start(2, 1)
    assert notes(said, "warning") == ["s_iter_1.caffemodel cannot be removed: Permission denied"]
    assert notes(said) == ["Removed s_iter_1.solverstate (keep: 1)"]
    assert there() == sorted(["s_iter_1.caffemodel", *pair(2)])


def test_a_folder_that_cannot_be_listed_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    training, said = solver(1)
    training.step(1)

    def refuse(self: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("caffelite.solver.keep.snapshot_files", refuse)
    training.step(1)
    assert notes(said, "warning") == ["Old snapshots cannot be removed: Permission denied"]


def test_snapshots_of_this_run_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*args: object) -> Any:
        raise AssertionError("a snapshot was read")

    monkeypatch.setattr("caffelite.solver.keep.whole", read)
    training, _ = solver(2)
    training.step(6)
    assert there() == sorted([*pair(6), *pair(5)])
