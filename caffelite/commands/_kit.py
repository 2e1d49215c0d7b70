"""What commands share: how help looks, and the options that several of them take."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from ._log import Log

F = TypeVar("F", bound=Callable[..., Any])


class Formatted(click.Command):
    """Help with the examples first, then the options.

    Args:
        summary: what the command does, in half a line.
        examples: command lines one can copy.
        notes: paragraphs for below the options.

    Attributes:
        leaves_rest: what follows the first argument belongs to whatever that argument names.
    """

    leaves_rest = False

    def __init__(self, name: str, summary: str, examples: Sequence[str], notes: str = "", **kwargs: Any) -> None:
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
        super().__init__(name, context_settings=settings, short_help=summary, **kwargs)
        self.summary, self.examples, self.notes = summary, examples, notes

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_text(f"{ctx.command_path}: {self.summary}")
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        self.format_options(ctx, formatter)
        if self.notes:
            formatter.write_paragraph()
            formatter.write_text(self.notes)


class FormattedGroup(Formatted, click.Group):
    """The same for a group of commands."""


class PackageGroup(FormattedGroup):
    """The commands that a package holds, one a file, each imported when it is asked for.  "-" and "_" are the same in
    their names.

    A subclass names its `package`, and what comes before a command's name in messages.
    """

    package: str
    before: str = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        files = (module.name for module in pkgutil.iter_modules(import_module(self.package).__path__))
        return sorted(name.replace("_", "-") for name in files if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name.replace("_", "-") not in self.list_commands(ctx):
            return None
        found: click.Command = import_module(f"{self.package}.{cmd_name.replace('-', '_')}").command
        return found

    def help_for(self, name: str, known: Sequence[str]) -> str:
        """What to do about a command that is not there."""
        return did_you_mean(name, known) or f"there are: {', '.join(known)}"

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            help = self.help_for(args[0], self.list_commands(ctx))
            raise UsageError(f'there is no command "{self.before}{args[0]}"', help=help)
        return super().resolve_command(ctx, args)


def described(
    name: str, summary: str, examples: Sequence[str], notes: str = "", cls: type[Formatted] = Formatted
) -> Callable[[Any], click.Command]:
    """Decorator: a command with its examples."""
    return click.command(name, cls=cls, summary=summary, examples=examples, notes=notes)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator of several, in the order they are to appear in the help."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def parts(text: str) -> list[str]:
    """The items of a comma-separated value; none of an empty one."""
    return [part.strip() for part in text.split(",") if part.strip()]


def gpu_numbers(text: str | None) -> list[int] | None:
    """`--gpu 0,1` as numbers, "all" as [-1], nothing as None.

    Raises:
        UsageError: it is neither.
    """
    if not text:
        return None
    if text == "all":
        return [-1]
    try:
        return [int(part) for part in parts(text)]
    except ValueError:
        raise UsageError(f'--gpu takes the number of a GPU or "all", not "{text}"') from None


PHASES = {"TRAIN": 0, "TEST": 1}

state_options = together(
    click.option("--level", type=int, default=0, metavar="N", help="Level of the net, for min_level and max_level."),
    click.option("--stage", default="", metavar="A,B", help="Stages of the net, separated by commas."),
)
"""`--level` and `--stage`."""

file_options = together(
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Put a value over the file's, as if it stood there: base_lr=0.1, "
        "'layer[ip1].inner_product_param.num_output=300'. Repeatable.",
    ),
    click.option("--strict", is_flag=True, help="Treat warnings about the files as errors."),
)
"""`--set` and `--strict`."""

python_option = click.option(
    "--allow-python",
    is_flag=True,
    help="Let Python layers of the net import and run the code they name.  Only for files you trust.",
)

gpu_option = click.option("--gpu", metavar="N", help="Compute on GPU number N (or `all`, where there is one).")


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    ctx.ensure_object(dict)[parameter.name] = value


debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks of errors.")

WITHOUT_EFFECT = ("v", "vmodule", "stderrthreshold", "logbuflevel", "logbufsecs", "max_log_size")
"""Flags of glog that scripts may set: every line goes to stderr as it comes, as in the original, which sets
`alsologtostderr`; there are no verbose lines."""

log_options = together(
    click.option(
        "--log_dir",
        type=click.Path(exists=True, file_okay=False),
        envvar="GLOG_log_dir",
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        help="Write the log to a file in this folder too.",
    ),
    click.option(
        "--minloglevel",
        type=click.IntRange(0, 3),
        default=0,
        envvar="GLOG_minloglevel",
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        help="Leave lines below this level out: 0 info, 1 warnings, 2 errors.",
    ),
    click.option(
        "--logtostderr/--nologtostderr",
        default=False,
        envvar="GLOG_logtostderr",
        expose_value=False,
        callback=_keep,
        help="Log to stderr only, whatever --log_dir says.",
    ),
    click.option(
        "--alsologtostderr/--noalsologtostderr",
        default=True,
        expose_value=False,
        callback=_keep,
        help="Log to stderr as well as to the file of --log_dir (the default).",
    ),
    *(click.option(f"--{flag}", expose_value=False, hidden=True) for flag in WITHOUT_EFFECT),
    debug_option,
)
"""What glog's flags are for scripts written for the original, and `--debug`."""


def command_line() -> list[str]:
    """The running command as it was typed."""
    said: list[str] = click.get_current_context().ensure_object(dict)["command"]
    return said


def open_log(training: bool = False) -> Log:
    """The log of the running command, as a context manager: see :class:`._log.Log`."""
    from ._log import Log

    settings = click.get_current_context().ensure_object(dict)
    return Log(
        folder=None if settings["logtostderr"] else settings["log_dir"],
        to_stderr=settings["alsologtostderr"] or settings["logtostderr"] or not settings["log_dir"],
        least=settings["minloglevel"],
        training=training,
    )
