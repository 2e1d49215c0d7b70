"""The folder of a run: everything needed to say what was done, and to do it again.

sessions.jsonl        one line a start: time, command, folder, seed, versions, vector instructions, threads, and the
                      files of solver and snapshot
solver.prototxt       the solver as it was run, to be run again: upgraded, with the settings of the command line, the
                      nets below and the seed in it
train.prototxt, test_0.prototxt …   the nets, filtered for their state
log.jsonl             every record, as JSON lines
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

from .. import __version__
from .jsonl import JsonLines, is_cut_off
from .records import Record

SESSIONS, LOG = "sessions.jsonl", "log.jsonl"
_SNAPSHOT_NAME = re.compile(r"(?P<prefix>.*)_(?:iter_\d+|best(?:_of_[\w-]+)?)\.(?:caffemodel|solverstate)(?:\.h5)?$")


def versions() -> dict[str, str]:
    """Versions of what computes: Python, this package, and the libraries under it (as installed; none is imported)."""
    found = {"python": platform.python_version(), "caffelite": __version__}
    for package in ("torch", "numpy", "protobuf"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if "torch" in sys.modules:
        found["torch"] = str(sys.modules["torch"].__version__)
    return found


def arithmetic() -> dict[str, Any]:
    """What besides versions decides the last bits of sums on a CPU: its vector instructions, by which torch and its
    libraries choose their kernels, and the number of threads; nothing where torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {"instructions": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}


class RunRecord:
    """A run's folder, and a sink that writes its log.

    A run that goes on from a snapshot appends to the log that is there; a new one sets an older log aside under the
    time it was last written.

    Args:
        folder: is made, with its parents, if it is not there.
        resumed: the run goes on from a snapshot.

    Raises:
        OSError: the folder or a file in it cannot be written.
    """

    def __init__(self, folder: Path, *, resumed: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / LOG
        if not resumed and log.exists():
            _set_aside(log)
        self._log = JsonLines(log)

    def session(self, command: Sequence[str], seed: int, **more: Any) -> None:
        """Note a start: its command line, its seed, and whatever else names it."""
        values = {
            "time": round(time.time(), 6),
            "command": list(command),
            "folder": os.getcwd(),
            "seed": seed,
            "versions": versions(),
            "arithmetic": arithmetic(),
        } | more
        path = self.folder / SESSIONS
        cut_off = is_cut_off(path)
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * cut_off + json.dumps(values, ensure_ascii=False) + "\n")

    def write(self, texts: Mapping[str, str]) -> None:
        """Write files into the folder, name → text; one that is there and says something else is set aside."""
        for name, text in texts.items():
            path = self.folder / name
            if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
                _set_aside(path)
            path.write_text(text, encoding="utf-8")

    def __call__(self, record: Record, moment: float | None = None) -> None:
        """Write a record down; `moment` is when it came, if not now."""
        self._log(record, moment)

    def close(self) -> None:
        """Close the log; may be called twice."""
        self._log.close()


def _set_aside(path: Path) -> None:
    """Rename a file after the time it was last written; nothing that has such a name is overwritten."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(path.stat().st_mtime))
    endings = (f".{stamp}{f'_{number}' * (number > 1)}{path.suffix}" for number in count(1))
    names = (path.with_name(f"{path.stem}{ending}") for ending in endings)
    path.rename(next(name for name in names if not os.path.lexists(name)))


def run_folder(snapshot: Path) -> Path | None:
    """The default folder of the run that wrote a snapshot, judged by its name; None where the name says nothing."""
    match = _SNAPSHOT_NAME.match(snapshot.name)
    return snapshot.parent / f"{match['prefix']}_run" if match else None


def sessions(folder: Path) -> list[dict[str, Any]]:
    """What `session` noted, oldest first; lines cut off by a crash are passed over."""
    found = []
    try:
        text = (folder / SESSIONS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        try:
            session = json.loads(line)
        except ValueError:
            continue
        if isinstance(session, dict):
            found.append(session)
    return found


def _wrote(folder: Path, snapshot: Path) -> bool:
    from .jsonl import read_lines
    from .records import BestKept, Snapshotted

    for log in sorted(folder.glob("log*.jsonl")):
        with log.open(encoding="utf-8", errors="replace") as file:
            for _, record in read_lines(line for line in file if '"Snapshotted"' in line or '"BestKept"' in line):
                if isinstance(record, Snapshotted | BestKept) and Path(record.model).name == snapshot.name:
                    return True
                if isinstance(record, Snapshotted) and Path(record.state).name == snapshot.name:
                    return True
    return False


def find_run(snapshot: Path) -> Path | None:
    """The folder of the run that wrote a snapshot: by the snapshot's name, or one beside it whose log names it."""
    named = run_folder(snapshot)
    if named is not None and (named / SESSIONS).exists():
        return named
    for notes in sorted(snapshot.parent.glob(f"*/{SESSIONS}")):
        if _wrote(notes.parent, snapshot):
            return notes.parent
    return None
