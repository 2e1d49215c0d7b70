"""Files as `check` reads them: on behind every fault, as far as what follows still means something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..assembly.nets import NetFile, make_layer
from ..errors import CaffeliteError, Fault, GraphError, Places
from ..prototxt import Loaded, override, refuse_empty, survey, text_of
from ..prototxt.hints import root_label
from ..prototxt.tree import Block
from ..upgrade import upgrade_net
from .leftovers import clean

_FOLLOWS_FROM_A_HOLE = frozenset({"CL005", "CL010", "CL011"})
_BRACES = "CL006"


@dataclass(slots=True)
class Text:
    """A prototxt as far as it could be read.

    Attributes:
        loaded: the message, without what has errors; None where nothing can be said about it.
        faults: what was found.
        broken: the first lines of the net's layers that have errors in them.
        unsure: which blobs such a layer makes is not known.
    """

    loaded: Loaded[Any] | None = None
    faults: list[Fault] = field(default_factory=list)
    broken: frozenset[int] = frozenset()
    unsure: bool = False

    @property
    def failed(self) -> bool:
        """Whether there are errors in the text."""
        return any(fault.severity == "error" for fault in self.faults)


def read(path: str, message_type: Any, sets: Sequence[str] = ()) -> Text:
    """A prototxt file; never raises a CaffeliteError."""
    try:
        cleaned = clean(text_of(path, root_label(message_type.DESCRIPTOR)), path)
        loaded = survey(cleaned.text, message_type, path)
        if not cleaned.faults:
            refuse_empty(loaded, path)
    except CaffeliteError as error:
        return Text(faults=list(error.faults))
    found = [
        fault
        for fault in loaded.warnings
        if not (fault.code in _FOLLOWS_FROM_A_HOLE and fault.place is not None and fault.place.line in cleaned.lines)
    ]
    faults = sorted([*cleaned.faults, *found], key=lambda fault: (fault.place.line or 0) if fault.place else 0)
    errors = [fault for fault in faults if fault.severity == "error"]
    if any(fault.code == _BRACES for fault in errors):
        return Text(faults=faults)
    text = Text(replace(loaded, warnings=[]), faults)
    if errors:
        _find_broken(text, errors)
    return overridden(text, sets)


def overridden(text: Text, sets: Sequence[str]) -> Text:
    """With values put over the file's; those that do not fit are faults."""
    if text.loaded is None or not sets:
        return text
    try:
        loaded = override(text.loaded, sets)
    except CaffeliteError as error:
        return replace(text, faults=[*text.faults, *error.faults])
    return replace(text, loaded=replace(loaded, warnings=[]), faults=[*text.faults, *loaded.warnings])


def _find_broken(text: Text, errors: list[Fault]) -> None:
    """Note which layers hold the errors."""
    assert text.loaded is not None
    document = text.loaded.document
    lines = {fault.place.line for fault in errors if fault.place is not None and fault.place.line is not None}
    broken = set()
    for item in document.fields:
        block = item.value
        if item.name.text not in ("layer", "layers") or not isinstance(block, Block):
            continue
        first, last = document.line(item.name.start), document.line(block.close.start if block.close else block.start)
        if any(first <= line <= last for line in lines):
            broken.add(first)
            tops = [inner for inner in block.fields if inner.name.text == "top" and inner.value is not None]
            hit = any("top" in (fault.place.text or "") for fault in errors if fault.place is not None)
            text.unsure |= not tops or hit
    text.broken = frozenset(broken)


@dataclass(slots=True)
class Net:
    """A net as far as it could be read: what to build graphs of, or None."""

    file: NetFile | None
    text: Text

    def make(self, param: Any, phase: int, places: Places) -> Any:
        """The layer a LayerParameter asks for; none, and no fault, where its text has faults already."""
        place = places("") if self.text.broken else None
        if place is not None and place.line in self.text.broken:
            raise GraphError([])
        assert self.file is not None
        return make_layer(param, phase, places, allow_python=self.file.allow_python)


def read_net(path: str, sets: Sequence[str] = (), allow_python: bool = False) -> Net:
    """A net's file, brought to today's form; never raises a CaffeliteError."""
    from ..proto import NetParameter

    return upgraded(read(path, NetParameter), path, sets, allow_python)


def upgraded(text: Text, path: str, sets: Sequence[str] = (), allow_python: bool = False) -> Net:
    """A net's text, brought to today's form; never raises a CaffeliteError."""
    if text.loaded is None:
        return Net(None, text)
    try:
        today = upgrade_net(text.loaded.message, text.loaded.places)
    except CaffeliteError as error:
        return Net(None, replace(text, faults=[*text.faults, *error.faults]))
    text = replace(
        text,
        loaded=replace(text.loaded, message=today.message, places=today.places),
        faults=[*text.faults, *today.notes],
    )
    text = overridden(text, sets)
    assert text.loaded is not None
    return Net(NetFile(text.loaded.message, text.loaded.places, [], path, allow_python=allow_python), text)
