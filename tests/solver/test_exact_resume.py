"""N iterations are k, a stop, a resume and N − k more, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from .resuming import TYPES, files, solver_of, whole


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resuming")


@pytest.mark.parametrize("more", ["", "snapshot_format: HDF5", "test_initialization: false clip_gradients: 0.5"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_resumed_run_is_the_same_run(kind: str, more: str, folder: Path, tmp_path: Path) -> None:
    straight, told = solver_of(files(folder, tmp_path / "straight" / "s", kind, more))
    straight.solve()
    path = files(folder, tmp_path / "resumed" / "s", kind, more)
    lines, newest, names = [], None, set()
    for stop in (5, 6, 11, 13):
        solver, said = solver_of(path)
        if newest is not None:
            solver.restore(newest)
        solver.step(stop - solver.iter)
        solver.snapshot()
        newest = solver.newest
        lines += said.lines
        names.add(solver.run_id)
        solver.close()
    assert whole(solver) == whole(straight)
    assert lines == told.lines
    assert len(names) == 1
    straight.close()
