"""What the forks of Caffe added to its files, by name: a table that is data (`table.toml`).

The original never numbered what its forks invented, and their numbers clash, so a name is all that tells.  The table
knows four kinds of things:

- an *alias*: a second name of a layer type, for another code that computes the same;
- a *reading*: a layer type that means different things in different forks, and the fields that tell them apart;
- what has *no effect* here: settings that choose among ways to compute the same (engines, math types, memory);
- what is *foreign*: known by owner and meaning, and not built.

What is built of a fork is no entry here, but an ordinary field of `protos/caffe.proto` and an ordinary layer.  The
table is read when something is first looked up in it: a file of plain Caffe never asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_TABLE = Path(__file__).with_name("table.toml")


@dataclass(frozen=True, slots=True)
class Known:
    """A field, value or layer type of a fork.

    Attributes:
        fork: whose it is.
        meaning: what it does there.
        effect: whether leaving it out changes what the file means; if not, it is accepted with a note.
        instead: what to do about it, if anything.
    """

    fork: str
    meaning: str
    effect: bool = True
    instead: str | None = None

    def __str__(self) -> str:
        return f"{self.fork}: {self.meaning}"


@dataclass(frozen=True, slots=True)
class Reading:
    """One meaning of a layer type that has several.

    Attributes:
        fork: whose it is, and what `dialect` calls it.
        meaning: what the layer does there.
        signs: fields of the LayerParameter that tell of this reading ("bn_param.bn_mode").
        shares: fields that it has too, but that tell of another reading, or of none.
        params: how many `param` blocks it may have at most (None: any number).
        bottoms: how many bottoms it has (None: any number).
        tops: how many tops it has (None: any number).
    """

    fork: str
    meaning: str
    signs: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    params: int | None = None
    bottoms: int | None = None
    tops: int | None = None


@cache
def _text() -> str:
    return _TABLE.read_text("utf-8")


@cache
def _table() -> dict[str, Any]:
    import tomllib

    return tomllib.loads(_text())


@cache
def _entries(kind: str) -> Mapping[tuple[str, str], Known]:
    """(message, name) → what is known, of one kind of entry."""
    found = {}
    for entry in _table().get(kind, []):
        known = Known(entry["fork"], entry["meaning"], entry.get("effect", True), entry.get("instead"))
        for holder in entry.get("of", [""]):
            for name in entry["names"]:
                found[holder, name] = known
    return found


def table() -> Mapping[str, Any]:
    """The whole table, by kind of entry, as it stands in the file."""
    return _table()


def field(message: str, name: str) -> Known | None:
    """What is known of a field that the schema lacks in the message of that name ("PoolingParameter"); or, with []
    behind its name, has as one value where the fork has a list."""
    return _entries("field").get((message, name))


def value(enum_field: str, name: str) -> Known | None:
    """What is known of a value that the schema lacks for an enum field ("engine", or "V1LayerParameter.type")."""
    entries = _entries("value")
    return entries.get((enum_field, name)) or entries.get((enum_field.rpartition(".")[2], name))


def layer_type(name: str) -> Known | None:
    """What is known of a layer type that is not built."""
    return _entries("type").get(("", name))


@cache
def _aliases() -> Mapping[str, tuple[str, Known]]:
    return {
        name: (type_name, Known(entry["fork"], entry["meaning"], effect=False))
        for entry in _table().get("alias", [])
        for name, type_name in entry["types"].items()
    }


@cache
def _keys() -> frozenset[str]:
    """What stands before a text: all aliases are among it, and for other layer types nothing need be parsed."""
    return frozenset(re.findall(r'([^\s"]+)"? = "', _text()))


def alias(layer_type: str) -> tuple[str, Known] | None:
    """The layer type that a fork has under this name as well, and what is known of the name."""
    return _aliases().get(layer_type) if layer_type in _keys() else None


@cache
def readings(layer_type: str) -> tuple[Reading, ...]:
    """The meanings of a layer type that has several; none for one that has one meaning."""
    for entry in _table().get("reading", []):
        if entry["type"] == layer_type:
            return tuple(
                Reading(
                    of["fork"],
                    of["meaning"],
                    tuple(of.get("signs", ())),
                    tuple(of.get("shares", ())),
                    of.get("params"),
                    of.get("bottoms"),
                    of.get("tops"),
                )
                for of in entry["forks"]
            )
    return ()


@cache
def ambiguous() -> frozenset[str]:
    """The layer types that have several meanings; for all nets, so the table is not parsed for it."""
    return frozenset(re.findall(r'(?m)^\[\[reading\]\]\ntype = "([^"]+)"', _text()))


def python_class(code: str) -> str | None:
    """The class of a Python layer, "module.class", that caffelite computes itself: its name, which is the `dialect` of
    that layer; None for any other."""
    known = {name for entry in _table().get("python", []) for name in entry["names"]}
    return code.rpartition(".")[2] if code in known else None
