"""Spellings of the original's command line."""

from __future__ import annotations

import click
import pytest

from caffelite.commands import cli
from caffelite.commands._argv import normalised
from caffelite.errors import UsageError


def given(line: str) -> list[str]:
    return normalised(line.split(), cli)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train --solver x", "train --solver=x"),
        ("train --solver=x", "train --solver=x"),
        ("train -solver x", "train --solver=x"),
        ("train -solver=x", "train --solver=x"),
        ("-solver x train", "train --solver=x"),
        ("--solver=x train", "train --solver=x"),
        ("--solver=x train --gpu 0", "train --solver=x --gpu=0"),
        ("-gpu all train -solver x", "train --gpu=all --solver=x"),
        ("-logtostderr -solver train train", "train --logtostderr --solver=train"),
        ("train -solver x -level -1", "train --solver=x --level=-1"),
        ("train -solver x -level -1 -stage a,b", "train --solver=x --level=-1 --stage=a,b"),
        ("train -solver x -sigint_effect none", "train --solver=x --sigint_effect=none"),
        ("train -solver x --sigint-effect=none", "train --solver=x --sigint_effect=none"),
        ("train -solver x --run_dir d", "train --solver=x --run-dir=d"),
        ("train --logtostderr=1 --solver=x", "train --logtostderr --solver=x"),
        ("train --logtostderr=true -solver x", "train --logtostderr --solver=x"),
        ("train --logtostderr=0 -solver x", "train --nologtostderr --solver=x"),
        ("train --noalsologtostderr -solver x", "train --noalsologtostderr --solver=x"),
        ("train --strict=no -solver x", "train --solver=x"),
        ("train -weights a,b -solver x", "train --weights=a,b --solver=x"),
        ("train --gpu= -solver x", "train --gpu= --solver=x"),
        ("train --set base_lr=-1 --set a=b -solver x", "train --set=base_lr=-1 --set=a=b --solver=x"),
        ("device_query -gpu 0", "device_query --gpu=0"),
        ("check -- -odd.prototxt", "check -- -odd.prototxt"),
        ("data mnist d -from f", "data mnist d --from=f"),
        ("-from f data mnist d", "data mnist --from=f d"),
        ("train -help", "train --help"),
        ("train -h", "train --help"),
        ("--version", "--version"),
        ("-version", "--version"),
        ("", ""),
    ],
)
def test_spellings(line: str, expected: str) -> None:
    assert given(line) == expected.split()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train -slver x", "no such option --slver, did you mean --solver?"),
        ("train --solvr=x", "no such option --solvr, did you mean --solver?"),
        ("-slver=x train", "no such option --slver, did you mean --solver?"),
        ("train --qqqq", "no such option --qqqq"),
        ("train -solver", "--solver needs a value"),
        ("train -solver -weights x", "--solver needs a value"),
        ("train --logtostderr=maybe -solver x", '--logtostderr is a switch: it takes 1 or 0, not "maybe"'),
    ],
)
def test_slips_are_named(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        given(line)
    assert caught.value.faults[0].message == message


def test_every_option_of_every_command_is_accepted_with_one_dash() -> None:
    context = click.Context(cli)
    seen = 0
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            continue
        for parameter in command.params:
            if not isinstance(parameter, click.Option):
                continue
            spelling = max(parameter.opts, key=len)
            tokens = [spelling[1:]] if parameter.is_flag else [spelling[1:], "1"]
            joined = spelling if parameter.is_flag else f"{spelling}=1"
            assert normalised([name, *tokens], cli) == [name, joined]
            seen += 1
    assert seen > 50
