"""docs/solvers.md: it is current, whole, and made without torch; its examples are settings nobody objects to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from caffelite import prototxt
from caffelite.commands import _solver_docs
from caffelite.proto import SolverParameter
from caffelite.solver import Settings
from caffelite.solver.update import FIELDS, updates

REPO = Path(__file__).parents[2]
PAGE = (REPO / "docs" / "solvers.md").read_text(encoding="utf-8")


def section(kind: str) -> str:
    return PAGE.split(f"\n## {kind}\n")[1].split("\n## ")[0]


def test_it_is_current() -> None:
    assert _solver_docs.text() == PAGE, "make docs writes it anew"


def test_every_type_has_a_section_with_formula_source_and_fields() -> None:
    assert re.findall(r"(?m)^## (.*)$", PAGE) == updates.names()
    for kind in updates:
        assert PAGE.count(f"[{kind}](#{kind.lower()})") == 1
        assert "```text\n" in section(kind)
        assert "\nSource: " in section(kind)
        assert "torch.optim" in section(kind)
        shown = section(kind).split("\n\n")[0].strip()
        assert set(re.findall(r"`(\w+)`", shown)) == updates[kind].reads


def test_what_a_type_reads_are_settings() -> None:
    assert set().union(*(updates[kind].reads for kind in updates)) == {"momentum", *FIELDS}


@pytest.mark.parametrize("kind", updates.names())
def test_examples_are_sound_settings(kind: str) -> None:
    [example] = re.findall(r"(?s)```prototxt\n(.*?)```", section(kind))
    loaded = prototxt.loads(f'net: "net.prototxt" max_iter: 1000\n{example}', SolverParameter)
    made = Settings.from_message(loaded.message, loaded.places)
    assert made.type == kind
    assert [fault.message for fault in (*loaded.warnings, *made.warnings)] == []


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from caffelite.commands import _solver_docs; _solver_docs.text(); print('torch._C' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True)
    assert done.stdout == "False\n"
