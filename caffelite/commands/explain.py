"""`caffelite explain`: what a code of `check` means."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from ..errors import UsageError, did_you_mean
from ._kit import debug_option, described

if TYPE_CHECKING:
    from ..lint.catalogue import Code

_WIDTH = 100


@described(
    "explain",
    "explain a code of check: what happens, what to do, an example",
    ["caffelite explain CL012", "caffelite explain"],
    notes="Without a code, all of them are listed.",
)
@click.argument("codes", nargs=-1, metavar="[CODE...]")
@debug_option
def command(codes: tuple[str, ...]) -> int:
    from ..lint.catalogue import GROUPS, group
    from ..lint.catalogue import codes as catalogue

    if not codes:
        for name, heading in GROUPS.items():
            click.echo(heading)
            for code in group(name):
                click.echo(f"  {code.name}  {code.title}")
        return 0
    known = catalogue()
    for name in codes:
        found = known.get(name.upper())
        if found is None:
            help = did_you_mean(name.upper(), known) or "caffelite explain lists them"
            raise UsageError(f'there is no code "{name}"', help=help)
        click.echo(_page(found))
    return 0


def _page(code: Code) -> str:
    pages = [f"{code.name}: {code.title}", *(textwrap.fill(text, _WIDTH) for text in (code.why, code.help))]
    if code.example:
        pages.append(f"{code.file}:\n{textwrap.indent(code.example.rstrip(), '    ')}")
    pages.append(f"caffelite check says:\n{textwrap.indent(code.message, '    ')}")
    return "\n\n".join(pages) + "\n"
