"""docs/dialects.md: it is current, and names every layer type of a fork."""

from __future__ import annotations

import re
from pathlib import Path

from caffelite import dialects
from caffelite.commands import _dialect_docs
from caffelite.layerkit import layers

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "dialects.md").read_text(encoding="utf-8")


def test_it_is_current() -> None:
    assert _dialect_docs.text() == PAGE, "make docs writes it anew"


def test_every_type_of_a_fork_is_listed_and_has_a_section() -> None:
    sections = {
        re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))
        for heading in re.findall(r"(?m)^## (.+)$", (DOCS / "layers.md").read_text(encoding="utf-8"))
    }
    links = re.findall(r"\]\(layers\.md#([\w-]+)\)", PAGE)
    assert set(links) <= sections
    assert len(links) == sum(bool(layers[name].fork) for name in layers)


def test_what_has_several_meanings_shows_them_all() -> None:
    for kind in dialects.ambiguous():
        for reading in dialects.readings(kind):
            assert f'- `dialect: "{reading.fork}"`: {reading.meaning}.' in PAGE
