"""The codes of all findings, and what is said about them: `codes/*.toml`, one file a group."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GROUPS = {
    "text": "Text and syntax",
    "dialects": "Old spellings and dialects",
    "nets": "How layers fit together",
    "layers": "Settings of layers",
    "data": "Data and weights",
    "solvers": "Settings of solvers",
    "mistakes": "Classic mistakes",
}
"""Files of `codes/` and their headings, in the order of the codes' first digits."""


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding.

    Attributes:
        name: "CL012".
        title: what it is, in a few words.
        why: a paragraph: what happens, and why it is told.
        help: a paragraph: what to do.
        message: what `check` prints of the example: the first line of this finding, file and place included.
        example: the smallest file that has it; "" where what is wrong is no text.
        file: what the example's file is called.
        beside: other prototxt files that the example needs, by name.
        arguments: what else stands on the command line.
        needs: which further files there must be (tests make them).
    """

    name: str
    title: str
    why: str
    help: str
    message: str
    example: str = ""
    file: str = "net.prototxt"
    beside: Mapping[str, str] | None = None
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@cache
def group(name: str) -> tuple[Code, ...]:
    """The codes of one group, in their order."""
    table = tomllib.loads((Path(__file__).parent / "codes" / f"{name}.toml").read_text("utf-8"))
    return tuple(
        Code(
            code["name"],
            code["title"],
            code["why"].strip(),
            code["help"].strip(),
            code["message"].strip("\n"),
            code.get("example", "").lstrip("\n"),
            code.get("file", "net.prototxt"),
            {file: text.lstrip("\n") for file, text in code.get("beside", {}).items()},
            tuple(code.get("arguments", ())),
            tuple(code.get("needs", ())),
        )
        for code in table["code"]
    )


def codes() -> dict[str, Code]:
    """All of them by name, in their order."""
    return {code.name: code for name in GROUPS for code in group(name)}
