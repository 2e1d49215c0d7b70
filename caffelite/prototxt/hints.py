"""What to say about a field that the schema does not know where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ..errors import Fault, nearest
from .tree import Document, Field, Scalar

_ROOTS = {"NetParameter": "a net", "SolverParameter": "a solver", "LabelMap": "a label map"}


class Level(NamedTuple):
    """A message on the way from the top of the file to where we stand: its name for people, type and contents."""

    label: str
    descriptor: Descriptor
    fields: list[Field]


def root_label(descriptor: Descriptor) -> str:
    """What the message at the top of a file is called."""
    return _ROOTS.get(descriptor.name, str(descriptor.name))


class Hint(NamedTuple):
    """What to say about an unknown field, the field that was probably meant, and whether it belongs further out."""

    help: str | None
    meant: FieldDescriptor | None = None
    outside: bool = False


def unknown_field(name: str, levels: list[Level], *, block: bool = False) -> Hint:
    """The hint for an unknown field in the innermost of `levels`: the level or block it belongs in, or its spelling.
    `block` says whether it was written as a block: a block is no stray setting, nor the other way round."""
    here, around = levels[-1], levels[-2::-1]
    inside = _blocks_with(name, here, block)
    if inside:
        return Hint(f"it belongs in {_either(inside)}")
    for level in around:
        if _has(level.descriptor, name, block):
            help = f'it belongs in {level.label}: is a "}}" missing above?'
            return Hint(help, level.descriptor.fields_by_name[name], outside=True)
    beside = _blocks_with(name, around[0], block) if around else []
    if beside:
        return Hint(f"it belongs in {_either(beside)}")
    return _near(name, here, block)


def _has(descriptor: Descriptor, name: str, block: bool) -> bool:
    field = descriptor.fields_by_name.get(name)
    return field is not None and (field.message_type is not None) == block


_FIRST_ADDED = 5000
"""Fields with smaller numbers are the original's."""

_SETTINGS = "_param"
"""What names of blocks with a layer's settings end in, and so do not tell them apart."""


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """The nearest known name; between names of settings, what comes before their common end counts."""
    if not name.endswith(_SETTINGS):
        return nearest(name, known)
    near = nearest(name.removesuffix(_SETTINGS), [one.removesuffix(_SETTINGS) for one in known])
    return next((one for one in known if near and one.removesuffix(_SETTINGS) == near), None)


def _near(name: str, here: Level, block: bool) -> Hint:
    near = _nearest(name, here.descriptor.fields_by_name)
    if near is None and block and name.endswith(_SETTINGS):
        return Hint(f"nothing is known of {name}: it may belong to somebody's own layer type")
    if near:
        return Hint(f"did you mean {near}?", here.descriptor.fields_by_name[near])
    blocks = [field.message_type for field in here.descriptor.fields if field.message_type is not None]
    near = nearest(name, sorted({f.name for one in blocks for f in one.fields if _has(one, f.name, block)}))
    return Hint(f"did you mean {near}, in {_either(_blocks_with(near, here, block))}?" if near else None)


def _blocks_with(name: str, level: Level, block: bool) -> list[str]:
    """The blocks of a message that hold a field of that name; only the one that its `type` asks for, if it is there,
    and the original's own before those of its forks."""
    fields = [
        field
        for field in level.descriptor.fields
        if field.message_type is not None and _has(field.message_type, name, block)
    ]
    owners = [field.name for field in fields]
    kind = _type_of(level.fields) if len(owners) > 1 else None
    matching = [owner for owner in owners if owner.removesuffix("_param").replace("_", "") == kind]
    own = [field.name for field in fields if field.number < _FIRST_ADDED]
    return matching or own or owners


def _type_of(fields: list[Field]) -> str | None:
    for field in fields:
        if field.name.text == "type" and isinstance(field.value, Scalar):
            return field.value.text.strip("\"'").replace("_", "").lower()
    return None


def _either(names: list[str]) -> str:
    shown = names if len(names) <= 4 else [*names[:3], "another block"]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def other_kind(document: Document, descriptor: Descriptor, others: Iterable[Descriptor]) -> Fault | None:
    """The fault of giving a net where a solver is wanted, or the other way round; None if it is neither."""
    names = {field.name.text for field in document.fields}
    strange = names - set(descriptor.fields_by_name)
    if 2 * len(strange) <= len(names):
        return None
    for other in others:
        if other is not descriptor and names <= set(other.fields_by_name):
            first = next(field for field in document.fields if field.name.text in strange)
            message = f"this describes {root_label(other)}, and {root_label(descriptor)} was expected"
            return Fault(message, document.place(first.name.start), _KIND_HELP.get(descriptor.name), code="CL004")
    return None


_KIND_HELP = {
    "SolverParameter": 'a solver names its net: net: "train_test.prototxt"',
    "NetParameter": "a net is made of layer { … } blocks; a solver file names it in net",
}
