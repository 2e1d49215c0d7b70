"""Memory that a process frees, in processes of their own: what they ask of the C library stays."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from caffelite.runtime.memory import keep_freed

asked = sys.argv[1] == "keep" and keep_freed()
def work():
    pieces = [b"x" * 1_000_000 for _ in range(16)]
    del pieces

for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(asked, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""


def faults(how: str) -> tuple[bool, float]:
    """Whether memory is kept, and pages that the system had to give a round of work."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    asked, count = done.stdout.split()
    return asked == "True", float(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how memory is freed is the C library's own affair")
def test_freed_memory_is_used_again() -> None:
    kept, few = faults("keep")
    _, many = faults("give back")
    if not kept:
        pytest.skip("the C library is not GNU's, and cannot be asked")
    assert few < 100
    assert many > 1000
