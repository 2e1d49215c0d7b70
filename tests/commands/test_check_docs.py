"""docs/checks.md: it is current and whole."""

from __future__ import annotations

import re
from pathlib import Path

from caffelite.commands import _check_docs
from caffelite.lint.catalogue import codes

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")


def test_it_is_current() -> None:
    assert _check_docs.text() == PAGE, "make docs writes it anew"


def test_every_code_has_a_section_and_is_listed() -> None:
    assert re.findall(r"(?m)^### (CL\d{3})$", PAGE) == list(codes())
    assert re.findall(r"(?m)^- \[(CL\d{3})\]", PAGE) == list(codes())
