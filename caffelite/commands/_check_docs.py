"""docs/checks.md from the catalogue of codes: `python -m caffelite.commands._check_docs docs/checks.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ..lint.catalogue import GROUPS, Code, group
from ._layer_docs import markdown

HEAD = """# What `check` finds

Made from the catalogue of codes by `make docs`.

`caffelite check FILES…` tells everything that is wrong with nets and solvers, each finding with a code; in the terminal
`caffelite explain CL012` shows what stands here. A finding is an error (the file will not do), a warning (it will, and
hardly as it is meant; `--strict` refuses it too) or a note. Each example is the smallest file that shows the finding,
with the line that `check` prints.

In a workflow on GitHub, `caffelite check --format github FILES…` shows findings beside the lines of a pull request;
`--format json` prints an object a line, for editors and scripts.
"""


def _section(code: Code) -> Iterator[str]:
    yield f"### {code.name}"
    yield f"**{code.title[0].upper()}{code.title[1:]}.** {markdown(code.why)}"
    yield markdown(code.help)
    if code.example:
        yield f"```prototxt\n# {code.file}\n{code.example.rstrip()}\n```"
    yield f"```text\n{code.message}\n```"


def text() -> str:
    """The page."""
    parts = [HEAD.rstrip("\n")]
    for name, heading in GROUPS.items():
        parts.append("\n".join(f"- [{code.name}](#{code.name.lower()}) {code.title}" for code in group(name)))
        parts.insert(-1, f"**{heading}**")
    for name, heading in GROUPS.items():
        parts.append(f"## {heading}")
        for code in group(name):
            parts += _section(code)
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
