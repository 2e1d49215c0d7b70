"""What the forks of Caffe added to its files, by name: two tables that are data.

The original never numbered what its forks invented, and their numbers clash, so a name is all that tells.

`types.toml` knows names of layer types that are built here under another name or in several meanings:

- an *alias*: a second name of a layer type, for another code that computes the same;
- a *reading*: a layer type that means different things in different forks, and the fields that tell them apart;
- a *python* class: a Python layer of a well-known project that caffelite computes itself.

`foreign.toml` knows what is not built:

- what has *no effect* here: settings that choose among ways to compute the same (engines, math types, memory);
- what is *foreign*: known by owner and meaning.

What else is built of a fork is no entry here, but an ordinary field of `protos/caffe.proto` and an ordinary layer.
Every net asks the first table, which is small; the second is read when a name is met that the schema lacks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


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
def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text("utf-8"))


def _types() -> dict[str, Any]:
    return _table("types")


def _foreign() -> dict[str, Any]:
    return _table("foreign")


@cache
def _entries(kind: str) -> Mapping[tuple[str, str], Known]:
    """(message, name) → what is known, of one kind of entry."""
    found = {}
    for entry in _foreign()[kind]:
        known = Known(entry["fork"], entry["meaning"], entry.get("effect", True), entry.get("instead"))
        for holder in entry.get("of", [""]):
            for name in entry["names"]:
                found[holder, name] = known
    return found


def table() -> Mapping[str, Any]:
    """Both tables, by kind of entry, as they stand in the files."""
    return _types() | _foreign()


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
        for entry in _types()["alias"]
        for name, type_name in entry["types"].items()
    }


def alias(layer_type: str) -> tuple[str, Known] | None:
    """The layer type that a fork has under this name as well, and what is known of the name."""
    return _aliases().get(layer_type)


@cache
def readings(layer_type: str) -> tuple[Reading, ...]:
    """The meanings of a layer type that has several; none for one that has one meaning."""
    for entry in _types()["reading"]:
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
    """The layer types that have several meanings."""
    return frozenset(entry["type"] for entry in _types()["reading"])


def python_class(code: str) -> str | None:
    """The class of a Python layer, "module.class", that caffelite computes itself: its name, which is the `dialect` of
    that layer; None for any other."""
    known = {name for entry in _types()["python"] for name in entry["names"]}
    return code.rpartition(".")[2] if code in known else None
