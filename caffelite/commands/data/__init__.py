"""`caffelite data`: data sets, ready to train on.  One thin file a subcommand, found as the commands themselves are."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import click

from ...errors import UsageError, did_you_mean
from .._kit import FormattedGroup


class Subcommands(FormattedGroup):
    """The subcommands of this package, imported one by one.  "-" and "_" are the same in their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        files = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in files if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name.replace("_", "-") not in self.list_commands(ctx):
            return None
        found: click.Command = import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            known = self.list_commands(ctx)
            help = did_you_mean(args[0], known) or f"there are: {', '.join(known)}"
            raise UsageError(f'there is no command "data {args[0]}"', help=help)
        return super().resolve_command(ctx, args)


@click.group(
    "data",
    cls=Subcommands,
    summary="get data sets, look into them, bring them into the form that nets read",
    examples=[
        "caffelite data mnist data/mnist",
        "caffelite data convert-imageset photos/ photos_lmdb",
        "caffelite data info photos_lmdb --picture first.png",
        "caffelite data preview train_val.prototxt -o seen.png",
    ],
)
def command() -> None:
    pass
