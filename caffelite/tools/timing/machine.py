"""What a machine can do at most, as a matrix product and a copy show it, and the memory that this process has taken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

TRIES = 10


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured.

    Attributes:
        gflops: 10⁹ floating-point operations a second, of a product of two `side`×`side` matrices in single precision.
        gbps: 10⁹ bytes a second, read and written, of a copy of `copied` bytes.
        threads: how many the processor computes with; None of another device.
    """

    gflops: float
    gbps: float
    side: int
    copied: int
    threads: int | None = None

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", {self.threads} thread{'s' * (self.threads != 1)}"
        product = f"{self.gflops:.1f} GFLOP/s ({self.side}³ matrix product{threads})"
        return f"{product}, {self.gbps:.1f} GB/s (copy of {self.copied >> 20} MiB)"


def now(device: torch.device) -> float:
    """Milliseconds, of no meaning but their differences, after the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() * 1000


def _least(work: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of the fastest of several tries, behind one that does not count."""
    work()
    times = []
    for _ in range(TRIES):
        start = now(device)
        work()
        times.append(now(device) - start)
    return min(times)


def measure(device: torch.device) -> Machine:
    """The most that a device is seen to do; in half a second, and on the CPU in 136 MiB."""
    on_cpu = device.type == "cpu"
    side, copied = (1 << 10, 1 << 26) if on_cpu else (1 << 12, 1 << 28)
    matrix = torch.linspace(-1, 1, side * side, device=device).reshape(side, side)
    product = torch.empty_like(matrix)
    multiplying = _least(lambda: torch.mm(matrix, matrix, out=product), device)
    source = torch.ones(copied // 4, device=device)
    target = torch.empty_like(source)
    copying = _least(lambda: target.copy_(source), device)
    threads = torch.get_num_threads() if on_cpu else None
    return Machine(2 * side**3 / multiplying / 1e6, 2 * copied / copying / 1e6, side, copied, threads)


def peak_resident() -> int:
    """The most bytes of memory that this process has had at once."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) << 10
    except (OSError, StopIteration):  # not Linux
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
