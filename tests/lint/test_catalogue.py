"""Every code: its minimal bad file and the message written down for it; no code without an entry, none left over."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import caffelite
from caffelite.commands import perform
from caffelite.errors import SettingsError
from caffelite.lint.catalogue import GROUPS, Code, codes, group
from caffelite.proto import SolverParameter
from caffelite.solver import Settings

from .material import MATERIAL

ROOM = Path(caffelite.__file__).parent
CATALOGUE = codes()
SHOWN_OTHERWISE = {
    "CL521": "solvers read from a file always have a prefix",
    "CL526": "check says it in its last line, without the code",
}
"""Codes that check prints for no file, and why."""


def said_by_check(code: Code, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What check prints of a code's example, line by line; its files are written to `folder`, where we are."""
    for name in code.needs:
        if name in MATERIAL:
            MATERIAL[name](folder)
    if code.example:
        (folder / code.file).write_text(code.example, encoding="utf-8")
    for name, text in (code.beside or {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    capsys.readouterr()
    perform(["check", code.file, *code.arguments])
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in SHOWN_OTHERWISE])
def test_the_example_gives_the_message(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = CATALOGUE[name]
    if "no plyvel" in code.needs:
        monkeypatch.setitem(sys.modules, "plyvel", None)
    said = said_by_check(code, tmp_path, capsys)
    assert code.message.endswith(f" [{name}]")
    assert code.message.replace("{folder}", str(tmp_path)) in said


def test_snapshots_without_a_name() -> None:
    message = SolverParameter(net="net.prototxt", base_lr=0.1, lr_policy="fixed", max_iter=1, snapshot=1)
    with pytest.raises(SettingsError) as caught:
        Settings.from_message(message)
    assert [(fault.code, fault.message) for fault in caught.value.faults] == [
        ("CL521", "snapshot is set, and snapshot_prefix is not")
    ]


def test_epochs_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = said_by_check(CATALOGUE["CL526"], tmp_path, capsys)
    assert said[-1].endswith("max_epoch 2 is 20 iterations: 40 records, 4 an iteration")


def test_codes_in_the_source_are_those_of_the_catalogue() -> None:
    used = set()
    for path in ROOM.rglob("*.py"):
        used |= set(re.findall(r'"(CL\d{3})"', path.read_text(encoding="utf-8")))
    prefixes = {f"CL{digit}" for digit in range(len(GROUPS))}
    assert used - prefixes == set(CATALOGUE)


def test_codes_are_in_order_and_in_their_groups() -> None:
    assert list(CATALOGUE) == sorted(CATALOGUE)
    for digit, name in enumerate(GROUPS):
        assert {code.name[2] for code in group(name)} == {str(digit)}


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_says_everything(name: str) -> None:
    code = CATALOGUE[name]
    assert code.title and not code.title.endswith(".")
    for text in (code.why, code.help):
        assert text.endswith(".") and "\n" not in text
    assert all(need in MATERIAL or need == "no plyvel" for need in code.needs)
