"""The command line: `caffelite COMMAND …`.  One thin file a command; a command's file is imported when it is asked for.

To add a command, add a file that binds `command`; it appears in the listing and in the docs by itself.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from .. import __version__
from ..errors import CaffeliteError, Fault, UsageError
from ..runtime.memory import keep_freed
from ._argv import normalised
from ._kit import PackageGroup

_SPARING = 50_000
"""Objects made before the garbage is looked for: imports and syntax trees make many, and hardly any garbage."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells report it."""


HELP = "caffelite --help lists the commands, caffelite COMMAND --help explains one"


class Commands(PackageGroup):
    """The commands of this package."""

    package = __name__

    def help_for(self, name: str, known: Sequence[str]) -> str:
        return HELP if name == "help" else super().help_for(name, known)


def _show_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"caffelite version {__version__}")
        ctx.exit()


@click.group(
    "caffelite",
    cls=Commands,
    invoke_without_command=True,
    summary="Caffe's way of working on PyTorch's engine",
    examples=[
        "caffelite train --solver solver.prototxt",
        "caffelite test --weights lenet_iter_10000.caffemodel",
        "caffelite check solver.prototxt",
        "caffelite COMMAND --help",
    ],
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Say which.")
@click.pass_context
def cli(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def perform(arguments: Sequence[str]) -> int:
    """Run a command line (without the program's name).

    Returns:
        The exit status: 0, 1 where something failed, 2 where the command line is wrong, 130 after Ctrl-C.
    """
    debug = any(argument.lstrip("-") == "debug" for argument in arguments)
    try:
        said = {"command": ["caffelite", *arguments]}
        status = cli.main(normalised(arguments, cli), "caffelite", standalone_mode=False, obj=said)
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        return _fail(error.format_message(), 2)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "caffelite"
        return _fail(f"{where}: {error.format_message()}\n  help: {where} --help shows examples and options", 2)
    except UsageError as error:
        return _fail(f"caffelite: {error}", 2)
    except CaffeliteError as error:
        if debug:
            raise
        return _fail("\n".join(_told(fault) for fault in error.faults), 1)
    except click.ClickException as error:
        return _fail(f"caffelite: {error.format_message()}", 1)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; what is still in the buffers must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"caffelite: {where}{error.strerror or error}", 1)
    except Exception as error:
        if debug:
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"caffelite: internal error: {what}\n  help: rerun with --debug to see where, and report it", 1)


def _told(fault: Fault) -> str:
    return str(fault) if fault.place is not None and str(fault.place) else f"caffelite: {fault}"


def _fail(message: str, status: int) -> int:
    click.echo(message, err=True)
    return status


def main() -> NoReturn:
    """The console script."""
    gc.set_threshold(_SPARING)
    keep_freed()
    sys.exit(perform(sys.argv[1:]))
