"""Errors and notes of the data room in the words of the layer that asked.

Sources and files know what is wrong with them, not who wanted them; :func:`told_by` adds the layer and the place in
its prototxt on the way up.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Protocol

from ..errors import DataError, Fault, Places

log = logging.getLogger("caffelite")


class Asker(Protocol):
    """The part of a layer that the data room knows."""

    type: ClassVar[str]
    places: Places

    @property
    def name(self) -> str:
        """The layer's name."""
        ...


def as_told(asker: Asker, fault: Fault, field: str) -> Fault:
    """The fault with the layer's name and type, placed at `field` unless it already has a place."""
    code = fault.code or "CL400"
    return replace(fault, layer=asker.name, layer_type=asker.type, code=code).at(asker.places(field))


@contextmanager
def told_by(asker: Asker, field: str) -> Iterator[None]:
    """Every DataError that leaves this block names the layer and stands at `field`."""
    try:
        yield
    except DataError as error:
        raise DataError(as_told(asker, fault, field) for fault in error.faults) from error


def folder_of(asker: Asker, field: str) -> Path | None:
    """The folder of the prototxt that holds `field`, where it was read from a file."""
    place = asker.places(field)
    return Path(place.file).parent if place is not None and place.file else None


exists = os.path.exists
"""Whether something lies at a path.  Path.exists raises for names that no file can have (too long, a NUL)."""


def find(name: str, *beside: Path | None) -> Path:
    """The path a file means by `name`: relative to the working directory as in the original, and where nothing lies
    there, relative to the first of the folders `beside` that has it (then with a note in the log).  It need not
    exist."""
    path = Path(name)
    if path.is_absolute() or exists(path):
        return path
    for folder in beside:
        if folder is not None and exists(folder / path):
            log.info("%s is not in the working directory; reading %s", name, folder / path)
            return folder / path
    return path


def where_it_looked(name: str, *beside: Path | None) -> str:
    """A help line for a path that is not there."""
    if Path(name).is_absolute():
        return "the path is absolute: does it come from another machine?"
    folders = dict.fromkeys([Path.cwd(), *(folder.resolve() for folder in beside if folder is not None)])
    return f"looked in {' and in '.join(map(str, folders))}"
