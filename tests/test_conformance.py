"""docs/conformance.md is current, and every setting of the schema is used by a recorded case or a test."""

from __future__ import annotations

from .conformance import ERRORS, missing, text
from .conftest import REPO
from .used_settings import covered, texts_of


def without_errors(page: str) -> list[str]:
    """The lines of a page; of tables that end with errors, which differ from machine to machine, without these."""
    lines, errors = [], False
    for line in page.splitlines():
        errors = line.startswith("|") and (errors or ERRORS[-1] in line)
        lines.append(line.rsplit("|", len(ERRORS) + 1)[0] if errors else line)
    return lines


def test_the_page_is_current() -> None:
    page = (REPO / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert without_errors(page) == without_errors(text(None)), "make conformance"


def test_no_error_is_missing_from_the_page() -> None:
    assert " ? " not in (REPO / "docs" / "conformance.md").read_text(encoding="utf-8")


def test_every_setting_is_covered() -> None:
    assert missing(covered()) == []


def test_what_a_test_may_make_prototxt_of_is_its_strings_keywords_and_dictionaries() -> None:
    source = "def f(a: int) -> str:\n    return g(f'x {{ k: {a} }}', base_lr=0.1, **{'gamma': 2})  # step: 3\n"
    assert sorted(texts_of(source).split("\n")) == sorted(
        ["x { k: … }", "x { k: ", " }", "base_lr= 0.1", "gamma: 2", "gamma"]
    )
