"""The original's `caffe` binary, where CAFFE_BIN names one.

While it runs, the other contenders wait, and compute nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .harness import Turn
from .work import Files

_STAMP = r"(\d\d):(\d\d):(\d\d\.\d+)"
_DISPLAY = re.compile(rf"{_STAMP} .*\] Iteration (\d+)[ ,].*loss = ")
_BATCH = re.compile(rf"{_STAMP} .*\] Batch (\d+), ")
_OUTPUT = re.compile(r"\] Batch 0, \S+ = (\S+)")
_PASSES = re.compile(r"\] Average Forward-Backward: ([0-9.e+]+) ms")


def environment(threads: int) -> dict[str, str]:
    """That of a process that computes with so many threads; the original's log goes to stderr alone."""
    names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
    return {**os.environ, **dict.fromkeys(names, str(threads)), "GLOG_logtostderr": "1"}


@dataclass(frozen=True)
class Original:
    """The binary, and how many threads its BLAS takes."""

    binary: str
    threads: int

    @classmethod
    def named(cls, threads: int) -> Original | None:
        """The one that CAFFE_BIN names.

        Raises:
            SystemExit: it names no program.
        """
        binary = os.environ.get("CAFFE_BIN")
        if not binary:
            return None
        if shutil.which(binary) is None:
            raise SystemExit(f"CAFFE_BIN names no program: {binary}")
        return cls(binary, threads)

    def command(self, *arguments: object) -> list[str]:
        return [self.binary, *map(str, arguments)]

    def run(self, *arguments: object) -> str:
        """What it logs.

        Raises:
            SystemExit: it failed.
        """
        done = subprocess.run(self.command(*arguments), env=environment(self.threads), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(self.command(*arguments))} failed:\n{done.stderr[-2000:]}")
        return done.stderr

    def training(self, files: Files) -> Turn:
        """Iterations of `caffe train`, by the times of its displays; the first of five intervals does not count."""
        net = files.net(original=True)

        def turn(iterations: int) -> float:
            display = max(1, round(iterations / 4))
            text = self.run("train", "-solver", files.solver(net, display=display, max_iter=5 * display + 1))
            times = _moments(_DISPLAY, text, 6)
            return _between(times[1], times[5]) / (4 * display) * iterations

        return turn

    def passes(self, files: Files) -> Turn:
        """Forward and backward of `caffe time`, which makes one of each before it counts."""
        net = files.net(original=True)

        def turn(iterations: int) -> float:
            text = self.run("time", "-model", net, "-iterations", iterations)
            return float(_PASSES.findall(text)[0]) / 1000 * iterations

        return turn

    def outputs(self, files: Files, weights: Path) -> list[float]:
        """What the first batch of `caffe test` gives."""
        text = self.run("test", "-model", files.net(original=True), "-weights", weights, "-iterations", 1)
        return [float(value) for value in _OUTPUT.findall(text)]

    def testing(self, files: Files, weights: Path) -> Turn:
        """Batches of `caffe test`, by the times at which it tells of them; the first one does not count."""
        net = files.net(original=True)

        def turn(iterations: int) -> float:
            text = self.run("test", "-model", net, "-weights", weights, "-iterations", iterations + 1)
            times = _moments(_BATCH, text, iterations + 1)
            return _between(times[0], times[-1])

        return turn


def _moments(pattern: re.Pattern[str], text: str, count: int) -> list[float]:
    """Seconds of the day of the first lines about each of the first `count` iterations or batches.

    Raises:
        SystemExit: there are fewer.
    """
    found: dict[str, float] = {}
    for hours, minutes, seconds, number in pattern.findall(text):
        found.setdefault(number, int(hours) * 3600 + int(minutes) * 60 + float(seconds))
    if len(found) < count:
        raise SystemExit(f"the original told of {len(found)} iterations instead of {count}:\n{text[-2000:]}")
    return list(found.values())[:count]


def _between(first: float, last: float) -> float:
    """Seconds; midnight may lie between."""
    return (last - first) % 86400
