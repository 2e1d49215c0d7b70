"""The case of writing a snapshot: weights and momentum."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from .agreement import start_equal
from .bench import Bench
from .harness import Result, clocked, in_turn
from .report import FIRST, PLAIN
from .work import Files, Work

SYNCED = "plain PyTorch, then fsync"


def snapshot(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Seconds of a snapshot after an iteration, on the disk when it is done, against torch.save of the same numbers
    (which leaves it to the system when they are on the disk), without and with fsync; the disk is that of temporary
    files."""
    files = Files(work, folder)
    solver = files.make_solver(files.net())
    model = work.model()
    optimizer = work.optimizer(model)
    try:
        start_equal(model, solver.net)
        solver.step(1)
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        path = folder / "plain.pt"

        def save(synced: bool) -> None:
            with path.open("wb") as file:
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
                if synced:
                    file.flush()
                    os.fsync(file.fileno())

        def once(run: Callable[[], object]) -> Callable[[], float]:
            def taken() -> float:
                os.sync()  # what others have left to be written
                return clocked(lambda _: run())(1)

            return taken

        contenders = {
            FIRST: once(solver.snapshot),
            PLAIN: once(lambda: save(False)),
            SYNCED: once(lambda: save(True)),
        }
        for contender in contenders.values():
            contender()  # the first time is dearer
        values = in_turn(contenders, bench.rounds)
        ours = sum(file.stat().st_size for file in folder.glob("run_iter_*"))
        notes = [f"{ours / 1e6:.0f} MB here, {path.stat().st_size / 1e6:.0f} MB by torch.save"]
    finally:
        solver.close()
    return Result(name, "s", values, notes=notes)
