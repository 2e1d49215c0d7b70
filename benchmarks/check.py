"""How long `caffelite check` of a large net takes, start-up included: the GoogLeNet of models/, in both phases.

    python -m benchmarks.check [FILE]

Each run is a process of its own, as on the command line; the second number is what is left of it once everything is
imported.  The aim is half a second.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import subprocess
import sys
import time
from pathlib import Path

from caffelite.commands import perform

NET = Path(__file__).parents[1] / "models" / "googlenet" / "train_val.prototxt"
AIM = 0.5
ROUNDS = 15


def whole(path: str) -> float:
    """Seconds of a whole process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "caffelite", "check", path], stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def again(path: str) -> float:
    """Seconds of a check in a process that has made one before."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        perform(["check", path])
    return time.perf_counter() - start


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else str(NET)
    lines = len(Path(path).read_text(encoding="utf-8").splitlines())
    again(path)
    for what, seconds in (("whole process", whole), ("check alone", again)):
        taken = sorted(seconds(path) for _ in range(ROUNDS))
        median, best = statistics.median(taken), taken[0]
        print(f"{what:14} median {median:.3f} s, best {best:.3f} s of {ROUNDS}")
        if seconds is whole:
            print(f"{'':14} {lines:,} lines; the aim of {AIM} s is {'met' if median <= AIM else 'missed'}")


if __name__ == "__main__":
    main()
