"""What can go wrong, and how it is told.

A :class:`Fault` is one thing wrong in one place; a :class:`CaffeliteError` carries one or many of them, so that a
check can report everything it found at once.  Nothing here imports anything else of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

_CONTROLS = dict.fromkeys(
    {*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {10}, "\ufffd"
)
"""What a terminal would obey instead of showing it: names in a damaged or malicious file may hold anything."""

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file something stands.  Lines and columns count from 1; `text` is the source line itself."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    text: str | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


Places = Callable[[str], "Place | None"]
"""Finds the place of a dotted field path ("convolution_param.stride_h"), or of the nearest field around it."""


def nowhere(_field: str) -> Place | None:
    """The :data:`Places` of a message that was not read from a file."""
    return None


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, warning or note: what is wrong, where, and what to do about it."""

    message: str
    place: Place | None = None
    help: str | None = None
    layer: str | None = None
    layer_type: str | None = None
    severity: Severity = "error"
    code: str | None = None
    """Which kind of finding it is (`caffelite explain CODE`)."""

    def __str__(self) -> str:
        head = self.message
        if self.layer is not None:
            kind = f" ({self.layer_type})" if self.layer_type else ""
            head = f'layer "{self.layer}"{kind}: {head}'
        if self.severity != "error":
            head = f"{self.severity}: {head}"
        if self.place is not None and str(self.place):
            head = f"{self.place}: {head}"
        lines = [head]
        if self.place is not None and self.place.text is not None and self.place.column is not None:
            lines.append("    " + self.place.text.replace("\t", " "))
            lines.append("    " + " " * (self.place.column - 1) + "^")
        if self.help:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines).translate(_CONTROLS)

    def at(self, place: Place | None) -> Fault:
        """The same fault, placed (unless it already has a place)."""
        return self if self.place is not None else replace(self, place=place)


class CaffeliteError(RuntimeError):
    """The root of all errors raised on purpose; `faults` holds everything that was found.

    It is a RuntimeError, as what the original's Python module raised was: scripts catch that.
    """

    def __init__(
        self, faults: str | Fault | Iterable[Fault], *, help: str | None = None, code: str | None = None
    ) -> None:
        if isinstance(faults, str):
            faults = Fault(faults, help=help, code=code)
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class PrototxtError(CaffeliteError):
    """A text file does not parse, or does not fit the schema."""


class UpgradeError(CaffeliteError):
    """An old file cannot be brought to today's form without guessing."""


class GraphError(CaffeliteError):
    """The layers of a net do not fit together (unknown bottom, duplicate top, shapes, sharing)."""


class LayerError(CaffeliteError):
    """A layer's own settings or inputs are wrong."""


class SettingsError(CaffeliteError):
    """A solver's settings are wrong or contradict each other."""


class DataError(CaffeliteError):
    """A data source is missing, damaged, or not what the layer expects."""


class SnapshotError(CaffeliteError):
    """Weights or a solver state cannot be read, written, or do not fit the net."""


class DeviceError(CaffeliteError):
    """The device asked for is not there."""


class DivergedError(CaffeliteError):
    """Training met a loss, a gradient or weights that are not finite."""


class UsageError(CaffeliteError):
    """The command line contradicts itself or asks for something that does not exist."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one (case does not count), or None where nothing is near."""
    from difflib import get_close_matches

    by_folded = {candidate.casefold(): candidate for candidate in known}
    begun = next((folded for folded in by_folded if len(name) > 3 and folded.startswith(f"{name.casefold()}_")), None)
    if begun is not None:
        return by_folded[begun]
    match = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[match[0]] if match else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A help line proposing the nearest known name, or None."""
    match = nearest(name, known)
    return f"did you mean {match}?" if match else None
