"""A run that is killed again and again, and goes on each time, ends as if nobody had touched it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from caffelite.snapshot import read_state, read_weights
from tests.conftest import REPO

from .resuming import TYPES, files

STEPS = 6
"""Of writing a snapshot: each of its two files is brought to the disk and named, and so is its folder."""


@dataclass
class Lives:
    """How the lives of a run ended.

    Attributes:
        inside: so many in the writing of a snapshot, as what they left behind shows.
        after: so many after the first snapshot was whole.
    """

    solver: Path
    chance: random.Random
    inside: int = 0
    after: int = 0

    def command(self, *how: str) -> list[str]:
        return [sys.executable, *how, "--solver", str(self.solver), "--snapshot", "auto"]

    def end(self) -> None:
        """A last life, which nobody ends."""
        subprocess.run(self.command("cli.py", "train"), cwd=REPO, check=True, capture_output=True)

    def while_writing(self) -> None:
        """A life that is ended at one of the first steps of writing its snapshots."""
        step = self.chance.randrange(1, 3 * STEPS + 1)
        command = self.command("-m", "tests.solver.dying", str(step))
        with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"now\n"
            self._kill(process)
        self.inside += 1

    def anywhere(self) -> None:
        """A life that is ended a while after it showed some iteration."""
        lines, pause = self.chance.randrange(1, 12), self.chance.uniform(0, 0.05)
        command = self.command("cli.py", "train")
        with subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            for line in process.stderr:
                lines -= b"] Iteration " in line
                if not lines:
                    break
            time.sleep(pause)
            self._kill(process)
            process.stderr.read()

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        self.after += any(self.solver.parent.glob("*.solverstate*"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"


def check_killed(here: Path, kind: str, more: str, iterations: int, kills: int, inside: int) -> Lives:
    """Run undisturbed, and killed so many times, some of them in the writing of a snapshot; compare the ends."""
    more = f"snapshot: 4 {more}"
    chance = random.Random(f"{kind} {more}")
    straight = Lives(files(here, here / "straight" / "s", kind, more, iterations), chance)
    straight.end()
    lives = Lives(files(here, here / "killed" / "s", kind, more, iterations), chance)
    ways = [lives.while_writing] * inside + [lives.anywhere] * (kills - inside)
    chance.shuffle(ways)
    for way in ways:
        way()
    lives.end()
    ends = []
    for lived in (straight, lives):
        (state,) = lived.solver.parent.glob(f"s_iter_{iterations}.solverstate*")
        model = Path(str(state).replace("solverstate", "caffemodel"))
        held = read_state(state)
        weights = [blob.tobytes() for layer in read_weights(model).layers for blob in layer.blobs if blob is not None]
        ends.append((weights, [slot.tobytes() for slot in held.history], held.iter, held.current_step, held.run.net))
        assert "HDF5" in more or model.read_bytes() == (here / "straight" / model.name).read_bytes()
    assert ends[0] == ends[1]
    assert not list(lives.solver.parent.glob(".*.unfinished"))
    return lives


def test_killed_a_few_times(tmp_path: Path) -> None:
    assert check_killed(tmp_path, "SGD", "", 120, 4, 2).inside == 2


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", "snapshot_format: HDF5"])
@pytest.mark.parametrize("kind", TYPES)
def test_killed_twenty_times(kind: str, more: str, tmp_path: Path) -> None:
    lives = check_killed(tmp_path, kind, more, 600, 20, 6)
    assert lives.inside >= 5
    assert lives.after >= 15
