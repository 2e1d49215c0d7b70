"""Command lines in the original's spellings, brought to the one form that click reads.

gflags takes `-solver x`, `--solver x`, `-solver=x` and `--solver=x`, booleans as `--logtostderr`, `--logtostderr=1`
or `--nologtostderr`, "-" and "_" alike in names, and all of it before the command as well as after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from ..errors import UsageError, nearest

YES, NO = ("1", "true", "t", "yes", "y"), ("0", "false", "f", "no", "n")


@dataclass(frozen=True, slots=True)
class _Option:
    """An option as declared: its spelling, whether a value follows, and for a switch the spelling that is its no."""

    spelling: str
    valued: bool
    opposite: str | None = None


def _key(token: str) -> str:
    return token.lstrip("-").split("=", 1)[0].replace("-", "_")


def _options(command: click.Command) -> dict[str, _Option]:
    """The options of a command by name, with "_" for "-"."""
    context = click.Context(command, **command.context_settings)
    found: dict[str, _Option] = {}
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option):
            continue
        yes = max(parameter.opts, key=len)
        no = max(parameter.secondary_opts, key=len, default=None)
        for spelling in parameter.opts:
            found[_key(spelling)] = _Option(yes, not parameter.is_flag, no)
        for spelling in parameter.secondary_opts:
            found[_key(spelling)] = _Option(str(no), False, yes)
    return found


def _is_option(token: str) -> bool:
    return len(token) > 1 and token.startswith("-") and not token[1:2].isdigit() and token[1:2] != "."


def _switched(option: _Option, value: str) -> list[str]:
    """A switch with a value: `--logtostderr=0`."""
    if value.lower() in YES:
        return [option.spelling]
    if value.lower() in NO:
        return [option.opposite] if option.opposite else []
    raise UsageError(f'{option.spelling} is a switch: it takes 1 or 0, not "{value}"')


def _unknown(token: str, options: dict[str, _Option], command: str) -> UsageError:
    name = "--" + token.lstrip("-").split("=", 1)[0]
    near = nearest(_key(token), options)
    hint = f", did you mean {options[near].spelling}?" if near else ""
    return UsageError(f"no such option {name}{hint}", help=f"{command} --help shows examples and options")


def _unplaced(token: str, options: dict[str, _Option], path: str) -> UsageError:
    """An argument of a command that takes options only: most likely a file whose option was forgotten."""
    named = next((options[name].spelling for name in ("solver", "model") if name in options), None)
    help = f"did you mean {named} {token}?" if named else f"{path} --help shows examples and options"
    return UsageError(f'{path.rpartition(" ")[2]} takes options only, not "{token}"', help=help)


def _spelled(tokens: Sequence[str], command: click.Command, path: str) -> list[str]:
    """Tokens after the command, each option in its declared spelling and joined to its value."""
    options, result, rest = _options(command), list[str](), list(tokens)
    takes_arguments = any(isinstance(parameter, click.Argument) for parameter in command.params)
    while rest:
        token = rest.pop(0)
        if token == "--":
            return [*result, token, *rest]
        if not _is_option(token):
            if not takes_arguments:
                raise _unplaced(token, options, path)
            if getattr(command, "leaves_rest", False):
                return [*result, "--", token, *rest]
            result.append(token)
            continue
        option = options.get(_key(token))
        if option is None:
            raise _unknown(token, options, path)
        value: str | None = token.split("=", 1)[1] if "=" in token else None
        if not option.valued:
            result += [option.spelling] if value is None else _switched(option, value)
            continue
        if value is None:
            if not rest or (_is_option(rest[0]) and _key(rest[0]) in options):
                raise UsageError(f"{option.spelling} needs a value", help=f"{path} --help shows examples and options")
            value = rest.pop(0)
        result += [option.spelling, value] if not option.spelling.startswith("--") else [f"{option.spelling}={value}"]
    return result


def _commands(group: click.Group) -> Iterator[click.Command]:
    """A group and all commands in it, at any depth."""
    yield group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command)
        elif command is not None:
            yield command


def _command_at(tokens: Sequence[str], group: click.Group) -> int | None:
    """Where the command stands: the first token that is neither an option nor the value of one."""
    valued: set[str] | None = None
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if not _is_option(token):
            return position
        if valued is None:  # only a line that begins with options pays for importing every command
            valued = {name for one in _commands(group) for name, option in _options(one).items() if option.valued}
        position += 2 if "=" not in token and _key(token) in valued else 1
    return None


def normalised(tokens: Sequence[str], group: click.Group, path: str = "caffelite") -> list[str]:
    """A command line in the form click reads: the command, then its options, each as `--name=value`.

    Raises:
        UsageError: an option that the command does not have (with the nearest it has), or one without its value.
    """
    at = _command_at(tokens, group)
    command = group.get_command(click.Context(group), tokens[at]) if at is not None else None
    if at is None or command is None:
        return _spelled(tokens, group, path) if at is None else list(tokens[at:])
    name, path = tokens[at], f"{path} {tokens[at]}"
    rest = [*tokens[:at], *tokens[at + 1 :]]
    if isinstance(command, click.Group):
        return [name, *normalised(rest, command, path)]
    return [name, *_spelled(rest, command, path)]
