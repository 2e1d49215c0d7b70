"""``--set path=value``: single fields changed from the command line, checked as the file itself is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ..errors import Fault, Place, Places, did_you_mean
from .build import build, is_repeated
from .hints import Level, root_label, unknown_field
from .parse import parse
from .read import Loaded, refuse
from .write import quoted

M = TypeVar("M", bound=Message)

_ASSIGNMENT = re.compile(r"\s*((?:[^=\[]|\[[^\]]*\])+?)\s*=(.*)", re.DOTALL)
_STEP = re.compile(r"(\w[\w-]*)(?:\[([^\]]*)\])?(?:\.|$)")


class _Wrong(Exception):
    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults)
        self.faults = faults


def _wrong(message: str, help: str | None = None) -> _Wrong:
    return _Wrong([Fault(message, help=help, code="CL027")])


class _Spot(NamedTuple):
    """A message that a path leads to, and the path with names turned into indexes."""

    message: Any
    path: str


def override(loaded: Loaded[M], assignments: Iterable[str], strict: bool = False) -> Loaded[M]:
    """The message with fields set anew; `loaded` itself stays as it is.

    Args:
        loaded: what was read from the file.
        assignments: ``path=value`` each, applied in order.  A path is dotted: ``base_lr``,
            ``layer[ip1].inner_product_param.num_output``, ``layer[3].name``; a block of a list is chosen by its name
            (all that bear it are set) or by its index.  A value is what would stand in the file; texts may go without
            quotes.  Setting a list as a whole replaces it.
        strict: take warnings for errors.

    Raises:
        PrototxtError: an assignment does not fit; its place names the ``--set`` at fault.  All are reported.
    """
    message = type(loaded.message)()
    message.CopyFrom(loaded.message)
    found: list[Fault] = []
    placed: list[tuple[str, Place]] = []
    for assignment in assignments:
        place = Place(f"--set '{assignment}'")
        try:
            paths, warnings = _assign(message, assignment)
        except _Wrong as wrong:
            found += [replace(fault, place=place) for fault in wrong.faults]
            continue
        found += [replace(fault, place=place) for fault in warnings]
        placed += [(path, place) for path in paths]
    found += [
        Fault(f"{path} has no default and must be set", _toucher(placed, path) or loaded.places(path), code="CL018")
        for path in message.FindInitializationErrors()
    ]
    refuse(found, strict)
    return Loaded(message, [*loaded.warnings, *found], _overlay(loaded.places, placed), loaded.document)


def _overlay(places: Places, placed: list[tuple[str, Place]]) -> Places:
    return lambda path: _covering(placed, path) or places(path)


def _covering(placed: list[tuple[str, Place]], path: str) -> Place | None:
    """The place of the last assignment that set the path or something around it."""
    covers = (place for start, place in reversed(placed) if re.match(re.escape(start) + r"(?:[.\[]|$)", path))
    return next(covers, None)


def _toucher(placed: list[tuple[str, Place]], path: str) -> Place | None:
    """The place of the last assignment that set something in the block that the path's field belongs to."""
    block = path.rpartition(".")[0]
    inside = (place for start, place in reversed(placed) if start.startswith(f"{block}."))
    return _covering(placed, block) or next(inside, None)


def _assign(message: Message, assignment: str) -> tuple[list[str], list[Fault]]:
    """Set one field (of several messages, where a name fits several); gives the paths set, and warnings."""
    match = _ASSIGNMENT.fullmatch(assignment)
    if match is None:
        raise _wrong("this is not path=value", "write, for example, base_lr=0.1")
    steps, value = _steps(match[1]), match[2].strip()
    spots, levels = [_Spot(message, "")], [Level(root_label(message.DESCRIPTOR), message.DESCRIPTOR, [])]
    for name, selector in steps[:-1]:
        field = _field(name, levels)
        if field.message_type is None:
            raise _wrong(f"{name} is a single value: nothing can be set inside it")
        spots = [inner for spot in spots for inner in _enter(spot, field, selector)]
        levels.append(Level(name, field.message_type, []))
    name, selector = steps[-1]
    field = _field(name, levels)
    chosen = [(spot, _indexes(spot, field, selector)) for spot in spots]
    source, warnings = _read(field, value, type(spots[0].message), single=selector is not None)
    return [path for spot, indexes in chosen for path in _put(spot, name, indexes, source)], warnings


def _steps(path: str) -> list[tuple[str, str | None]]:
    steps: list[tuple[str, str | None]] = []
    at = 0
    while at < len(path) or not steps or path.endswith("."):
        match = _STEP.match(path, at)
        if match is None:
            raise _wrong(
                f"{path} is not a field's path", "write, for example, layer[ip1].inner_product_param.num_output"
            )
        steps.append((match[1], match[2]))
        at = match.end()
    return steps


def _field(name: str, levels: list[Level]) -> FieldDescriptor:
    field = levels[-1].descriptor.fields_by_name.get(name)
    if field is None:
        raise _wrong(f'unknown field "{name}" in {levels[-1].label}', unknown_field(name, levels).help)
    return field


def _enter(spot: _Spot, field: FieldDescriptor, selector: str | None) -> list[_Spot]:
    """The messages one step further down."""
    indexes = _indexes(spot, field, selector)
    inner, path = getattr(spot.message, field.name), f"{spot.path}{field.name}"
    if is_repeated(field) and indexes is None:
        raise _wrong(f"{field.name} is a list: say which one", _examples(field.name, inner))
    return [_Spot(inner, f"{path}.")] if indexes is None else [_Spot(inner[i], f"{path}[{i}].") for i in indexes]


def _examples(name: str, entries: Any) -> str | None:
    called = [entry.name for entry in entries if getattr(entry, "name", "")]
    return f"write {name}[{called[0]}] or {name}[0]" if called else f"write {name}[0]"


def _indexes(spot: _Spot, field: FieldDescriptor, selector: str | None) -> list[int] | None:
    """Which entries of a list a selector means; None without a selector."""
    if selector is None:
        return None
    if not is_repeated(field):
        raise _wrong(f"{field.name} is no list: nothing to choose with [{selector}]", f"write {field.name} alone")
    entries = getattr(spot.message, field.name)
    if selector.isdecimal():
        return [_index(field.name, int(selector), len(entries))]
    if field.message_type is None or "name" not in field.message_type.fields_by_name:
        raise _wrong(f"{field.name} has no names to choose by", f"write an index: {field.name}[0]")
    wanted = selector.strip("\"'")
    indexes = [index for index, entry in enumerate(entries) if entry.name == wanted]
    if not indexes:
        names = list(dict.fromkeys(entry.name for entry in entries))
        raise _wrong(f'no {field.name} has the name "{wanted}"', did_you_mean(wanted, names) or _list_of(names))
    return indexes


def _index(name: str, index: int, count: int) -> int:
    if index < count:
        return index
    known = f"the last one is {name}[{count - 1}]" if count else f"there is no {name} at all"
    raise _wrong(f"there is no {name}[{index}]", known)


def _list_of(names: list[str]) -> str:
    return f"there are: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}" if names else "there are none"


def _read(field: FieldDescriptor, value: str, parent: type[Message], *, single: bool) -> tuple[Message, list[Fault]]:
    """A message of type `parent` that holds the value and nothing else, and warnings."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        value = _with_quotes(value, as_list=is_repeated(field) and not single)
    if not value:
        raise _wrong(f'no value after "=" for {field.name}')
    document, findings = parse(f"{field.name}: {value}")
    source = build(document, parent, findings, partial=True)
    found = findings.in_order()
    if any(fault.severity == "error" for fault in found):
        raise _Wrong(found)
    if len(document.fields) != 1 or (single and len(getattr(source, field.name)) != 1):
        raise _wrong(f"{field.name} takes one value here, got {value}")
    return source, found


def _with_quotes(value: str, *, as_list: bool) -> str:
    """A text as prototxt, whether or not it came with quotes."""
    if value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1:
        return value
    if as_list and value.startswith("[") and value.endswith("]"):
        items = [item.strip() for item in value[1:-1].split(",")]
        return f"[{', '.join(_with_quotes(item, as_list=False) for item in items if item)}]"
    return quoted(value)


def _put(spot: _Spot, name: str, indexes: list[int] | None, source: Message) -> list[str]:
    """Take the value over; gives the paths that were set."""
    if indexes is None:
        spot.message.ClearField(name)
        spot.message.MergeFrom(source)
        return [f"{spot.path}{name}"]
    entries, value = getattr(spot.message, name), getattr(source, name)[0]
    for index in indexes:
        if isinstance(value, Message):
            entries[index].CopyFrom(value)
        else:
            entries[index] = value
    return [f"{spot.path}{name}[{index}]" for index in indexes]
