"""Records as JSON lines: one object a line, with `time` (seconds since 1970), `type` and the record's fields.

JSON knows no NaN and no infinity; they are written as the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from .records import OutputValue, Record

TYPES: dict[str, type[Record]] = {kind.__name__: kind for kind in Record.__subclasses__()}
"""The name of every record type → the type."""


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, OutputValue):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def encode(record: Record) -> dict[str, Any]:
    """A record as an object that JSON can hold."""
    return {"type": type(record).__name__} | {
        field.name: _plain(getattr(record, field.name)) for field in fields(record)
    }


def _restored(kind: type, values: dict[str, Any]) -> Any:
    known = {field.name: str(field.type) for field in fields(kind)}
    found = {name: value for name, value in values.items() if name in known}
    for name, value in found.items():
        if "float" in known[name] and value is not None:
            found[name] = float(value)
        elif isinstance(value, list):
            found[name] = tuple(_restored(OutputValue, item) for item in value)
    return kind(**found)


def decode(values: dict[str, Any]) -> Record | None:
    """The record of an object, or None for a type that this version does not know."""
    kind = TYPES.get(values.get("type", ""))
    if kind is None:
        return None
    record: Record = _restored(kind, values)
    return record


def read_lines(lines: Iterable[str]) -> Iterator[tuple[float, Record]]:
    """(time, record) of every line that holds one; a line cut off by a crash is passed over."""
    for line in lines:
        try:
            values = json.loads(line)
            record = decode(values)
        except (ValueError, TypeError):
            continue
        if record is not None:
            yield float(values["time"]), record


def is_cut_off(path: Path) -> bool:
    """Whether the file's last line was left unfinished, by a crash."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() != b"\n"


class JsonLines:
    """A sink that appends records to a file.

    A file that cannot be written to any more ends the record, not the run.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        cut_off = is_cut_off(path)
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._clock = clock
        if cut_off:  # what follows must not become part of that line
            self._file.write("\n")

    def __call__(self, record: Record, moment: float | None = None) -> None:
        """Write a record down; `moment` is when it came, if not now."""
        if self._file.closed:
            return
        values = {"time": round(self._clock() if moment is None else moment, 6)} | encode(record)
        try:
            self._file.write(json.dumps(values, allow_nan=False, ensure_ascii=False) + "\n")
        except OSError:
            self._file.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()
