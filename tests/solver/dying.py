"""`caffelite train` that lets its tester know when it is in the middle of writing a snapshot.

    python -m tests.solver.dying NUMBER ARGUMENT …

Just before step number NUMBER of writing (bringing a file to the disk, giving it its name) it says "now", and waits to
be killed.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from caffelite.commands import perform


def main() -> int:
    number, steps = int(sys.argv[1]), itertools.count(1)

    def slow(name: str) -> None:
        real: Callable[..., Any] = getattr(os, name)

        def step(*arguments: Any) -> Any:
            if next(steps) == number:
                print("now", flush=True)
                time.sleep(60)
            return real(*arguments)

        setattr(os, name, step)

    slow("fsync")
    slow("replace")
    return perform(["train", *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
