"""What tests of several rooms need: where the recorded behaviour of the original lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes depends on the machine, and on what else it is doing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

REPO = Path(__file__).resolve().parent.parent
CARRIED = REPO / "tests" / "golden"
"""The few recorded cases that a clone carries."""
ALL = Path(os.environ.get("CAFFELITE_GOLDEN", REPO.parent / "shared" / "golden"))
"""All recorded cases, where they are at hand."""


def find_golden(relative: str) -> Path:
    """A recorded file or folder; the test is skipped where it is not at hand."""
    for folder in (CARRIED, ALL):
        if (folder / relative).exists():
            return folder / relative
    pytest.skip(f"recorded case {relative} is not at hand (CAFFELITE_GOLDEN names the folder of all of them)")


@pytest.fixture
def golden() -> Callable[[str], Path]:
    """Finds a recorded file or folder by its path in the golden folder: `golden("cli/time/stderr.txt")`."""
    return find_golden
