"""What the README shows is what the program does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from caffelite.commands import cli, perform
from caffelite.commands._argv import normalised
from tests.conftest import REPO

README = (REPO / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_fault_it_shows_is_printed_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [shown] = [block for block in blocks("text") if "  help: " in block]
    path, line = re.match(r"(\S+?):(\d+):", shown).groups()  # type: ignore[union-attr]
    lines = (REPO / path).read_text(encoding="utf-8").splitlines()
    lines[int(line) - 1] = shown.splitlines()[1][4:]
    broken = tmp_path / path
    broken.parent.mkdir(parents=True)
    broken.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert perform(["check", path]) == 1
    assert shown in capsys.readouterr().out


def test_its_commands_exist_with_their_options() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("caffelite ")]
    assert len(lines) > 5
    for line in lines:
        command, *rest = normalised(shlex.split(line, comments=True)[1:], cli)
        found = cli.get_command(click.Context(cli), command)
        assert found is not None
        found.make_context(command, rest).close()
