"""Cases of whole processes: how much memory they take at most, and how long they take to the first iteration."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .alone import ITERATIONS
from .bench import Bench
from .harness import Result, in_turn
from .original import environment
from .report import FIRST, ORIGINAL, PLAIN, REPO
from .work import Files, Work

PYTHON = sys.executable


def peak_memory(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Peak memory of a few iterations of training AlexNet, in MB: constant images, no files."""
    files = Files(work, folder)
    shapes = " ".join(
        f"shape {{ {' '.join(f'dim: {size}' for size in shape)} }} "
        for shape in ((work.batch, 3, 227, 227), (work.batch,))
    )
    fillers = 'data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 0 }'
    layer = (
        f'layer {{ name: "ones" type: "DummyData" top: "data" top: "label" dummy_data_param {{ {shapes} {fillers} }} }}'
    )
    solver = files.solver(files.net(layers=layer), display=1, max_iter=ITERATIONS)
    alone = [PYTHON, "-m", "benchmarks.alone"]
    sizes = [str(work.batch), str(bench.threads)]
    tuned = "channels_last, fused SGD"
    commands = {
        FIRST: [PYTHON, "-m", "caffelite", "train", "--solver", str(solver)],
        PLAIN: [*alone, "plain", *sizes],
        tuned: [*alone, "tuned", *sizes],
    }
    if bench.original:
        commands[ORIGINAL] = bench.original.command("train", "-solver", solver)

    def megabytes(command: Sequence[str]) -> Callable[[], float]:
        return lambda: float(_output([PYTHON, str(REPO / "benchmarks" / "peak.py"), *command], bench))

    values = in_turn({who: megabytes(command) for who, command in commands.items()}, min(3, bench.rounds))
    return Result(name, "MB", values, [tuned])


def first_iteration(name: str, work: Work, bench: Bench, folder: Path) -> Result:
    """Seconds of a whole `train` that makes one iteration, beside those in which Python imports torch."""
    files = Files(work, folder)

    def seconds(command: Sequence[str]) -> Callable[[], float]:
        def taken() -> float:
            start = time.perf_counter()
            _output(command, bench)
            return time.perf_counter() - start

        return taken

    importing, allowed = "import torch", "1.1 × import torch + 0.6 s"
    solver = files.solver(files.net(), max_iter=1)
    contenders = {
        FIRST: seconds([PYTHON, "-m", "caffelite", "train", "--solver", str(solver)]),
        importing: seconds([PYTHON, "-c", "import torch"]),
    }
    if bench.original:
        contenders[ORIGINAL] = seconds(bench.original.command("train", "-solver", solver))
    values = in_turn(contenders, bench.rounds)
    values[allowed] = [1.1 * value + 0.6 for value in values[importing]]
    return Result(name, "s", values)


def _output(command: Sequence[str], bench: Bench) -> str:
    """What a command says on stdout, computing with as many threads as everybody.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(command, cwd=REPO, env=environment(bench.threads), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout
