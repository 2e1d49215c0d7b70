"""docs/cli.md from the commands' own help: `python -m caffelite.commands._docs docs/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from . import cli

HEAD = """# The command line

Made from the commands' own help by `make docs`.

The options of the original are taken in its spellings: `--solver x`, `--solver=x`, `-solver x` and `-solver=x` are the
same, options may stand before the command, and "-" and "_" are alike in names.  A command line that is wrong ends with
status 2, a failure with 1, Ctrl-C with 130 (training snapshots first, and ends with 0).
"""


def _commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _commands(child, click.Context(child, context, name, **child.context_settings))


def text() -> str:
    """The page."""
    pages = [HEAD]
    for context in _commands(cli, click.Context(cli, info_name="caffelite", **cli.context_settings)):
        context.terminal_width = 100
        pages.append(f"## {context.command_path}\n\n```text\n{context.command.get_help(context)}\n```\n")
    return "\n".join(pages)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
