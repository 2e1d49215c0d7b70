"""How tests of commands run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from caffelite.commands import perform
from tests.conftest import REPO, find_golden

GLOG_PREFIX = r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ "


@dataclass(frozen=True)
class Done:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str


def caffelite(*arguments: str, cwd: Path | None = None) -> Done:
    """Run a command line in a process of its own, as a user does from a checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GLOG_")}
    done = subprocess.run(
        [sys.executable, str(REPO / "cli.py"), *arguments],
        cwd=cwd,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the files that the original's command line was recorded with."""
    return Path(shutil.copytree(find_golden("cli/files"), tmp_path / "files"))


Run = Callable[..., Done]


@pytest.fixture
def here(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line among those files, in this process: torch is loaded once for all of them."""
    monkeypatch.chdir(files)
    for name in [name for name in os.environ if name.startswith("GLOG_")]:
        monkeypatch.delenv(name)

    def command(*arguments: str) -> Done:
        capsys.readouterr()
        status = perform(list(arguments))
        return Done(status, *capsys.readouterr())

    return command
