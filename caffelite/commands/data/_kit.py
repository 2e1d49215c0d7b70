"""What the subcommands of `data` share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)

backend_option = click.option(
    "--backend",
    type=click.Choice(["lmdb", "leveldb"]),
    help="Insist on this kind of database; without it the kind is found by looking.",
)
written_option = click.option(
    "--backend",
    default="lmdb",
    show_default=True,
    type=click.Choice(["lmdb", "leveldb"]),
    help="Write this kind of database.",
)
force_option = click.option("--force", is_flag=True, help="Write anew over what lies there already.")
rgb_option = click.option(
    "--rgb", is_flag=True, help="The channels are R, G, B, as CIFAR-10's, instead of B, G, R as of decoded images."
)


def progress() -> Callable[..., Any] | None:
    """Shows how far the work is, where somebody looks; what is said afterwards begins a new line."""
    from ...logs.progress import wanted

    if not wanted():
        return None

    inside_a_line, shown = False, ""

    def show(what: str, done: int, total: int | None) -> None:
        nonlocal inside_a_line, shown
        text = f"{what}: {100 * done // total:3d} %" if total else f"{what}: {done:,}"
        if text == shown and done != total:
            return
        inside_a_line, shown = done != total, text
        click.echo(f"\r\x1b[K{text}", nl=not inside_a_line, err=True)
        sys.stderr.flush()

    def end() -> None:
        if inside_a_line:
            click.echo(err=True)

    click.get_current_context().call_on_close(end)
    return show


def name_range(low: float, high: float) -> str:
    """What black and white stand for in a picture."""
    return "0 … 255 as they are" if (low, high) == (0, 255) else f"{low:g} … {high:g}, shown as 0 … 255"
