"""A syntax tree to a protobuf message, reporting everything that does not fit the schema."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from .. import dialects
from .hints import Hint, Level, root_label, unknown_field
from .tree import Block, Document, Field, ListValue, Scalar, Value
from .values import BadValue, Reader, kind, reader
from .where import Findings, TreePlaces

M = TypeVar("M", bound=Message)


class _Known(NamedTuple):
    descriptor: FieldDescriptor
    repeated: bool
    read: Reader | None


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether the field is a list.  protobuf 5 says it with `label`, which protobuf 7 no longer has."""
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)


@cache
def _schema(descriptor: Descriptor) -> dict[str, _Known]:
    return {field.name: _Known(field, is_repeated(field), reader(field)) for field in descriptor.fields}


def build(document: Document, message_type: type[M], findings: Findings, *, partial: bool = False) -> M:
    """The message a document describes.  What does not fit goes to `findings` and is left out of the message.

    `partial` messages may lack required fields.
    """
    message = message_type()
    _Builder(document, findings).run(message)
    if not partial and not message.IsInitialized():
        _report_missing(document, message, findings)
    return message


def _report_missing(document: Document, message: Message, findings: Findings) -> None:
    places = TreePlaces(document)
    for path in message.FindInitializationErrors():
        block, _, name = path.rpartition(".")
        offset, fields = places.find(block)
        if all(field.name.text != name for field in fields or []):
            owner = block.rpartition(".")[2] or root_label(message.DESCRIPTOR)
            message = f"{owner} lacks {name}, which has no default"
            findings.add(offset, message, f"add {name}: and a value", code="CL018")


class _Builder:
    def __init__(self, document: Document, findings: Findings) -> None:
        self.document = document
        self.findings = findings
        self.levels: list[Level] = []
        self._overrun: set[int] = set()

    def run(self, message: Message) -> None:
        self._fill(message, self.document.fields, root_label(message.DESCRIPTOR))

    def _fill(self, message: Message, fields: list[Field], label: str) -> None:
        descriptor = message.DESCRIPTOR
        self.levels.append(Level(label, descriptor, fields))
        schema = _schema(descriptor)
        seen: dict[str, tuple[Field, Any]] = {}
        for field in fields:
            name = field.name.text
            known = schema.get(name)
            if known is None:
                self._unknown(field)
            elif field.value is not None:
                self._set(message, field, known, seen)
        self.levels.pop()

    def _unknown(self, field: Field) -> None:
        name = field.name.text
        block = isinstance(field.value, Block)
        foreign = dialects.field(self.levels[-1].descriptor.name, name)
        if foreign is not None:
            self._foreign(field.name.start, f"{name} in {self.levels[-1].label}", foreign)
            return
        hint = Hint(None) if self.findings.full else unknown_field(name, self.levels, block=block)
        if not self._follows_from_a_brace(hint):
            message = f'unknown field "{name}" in {self.levels[-1].label}'
            self.findings.add(field.name.start, message, hint.help, code="CL012")
        if hint.meant is not None and hint.meant.message_type is not None and isinstance(field.value, Block):
            # What is inside is checked as the block that was meant, so that its faults are told in the same run.
            self._fill(GetMessageClass(hint.meant.message_type)(), field.value.fields, hint.meant.name)

    def _foreign(self, offset: int, what: str, known: dialects.Known) -> None:
        """Tell of something a fork added: a note where it only chooses how the same is computed, else an error."""
        if known.effect:
            message = f"{what} is not built here; it comes from {known}"
            self.findings.add(offset, message, known.instead, code="CL102")
        else:
            message = f"{what} has no effect here; it comes from {known}"
            self.findings.add(offset, message, known.instead, "note", code="CL101")

    def _follows_from_a_brace(self, hint: Hint) -> bool:
        """Whether this is only one more field swallowed by a block whose missing brace has been told already."""
        if not (hint.outside and self.findings.unbalanced):
            return False
        block = id(self.levels[-1].fields)
        told = block in self._overrun
        self._overrun.add(block)
        return told

    def _set(self, message: Message, field: Field, known: _Known, seen: dict[str, tuple[Field, Any]]) -> None:
        if isinstance(field.value, ListValue) and not self._list_fits(message, field, known):
            return
        if not known.repeated:
            self._set_once(message, field, known, seen)
            return
        target = getattr(message, known.descriptor.name)
        for item in field.items():
            if self._fits_shape(item, known):
                if known.read is None:
                    self._fill(target.add(), item.fields, known.descriptor.name)  # type: ignore[union-attr]
                else:
                    value = self._read(item, known)  # type: ignore[arg-type]
                    if value is not None:
                        target.append(value)

    def _set_once(self, message: Message, field: Field, known: _Known, seen: dict[str, tuple[Field, Any]]) -> None:
        name = known.descriptor.name
        first = seen.get(name)
        item = field.items()[0]
        if not self._fits_shape(item, known):
            return
        if known.read is None:
            value = getattr(message, name) if first is None else type(getattr(message, name))()
            value.SetInParent()
            self._fill(value, item.fields, name)  # type: ignore[union-attr]
        else:
            value = self._read(item, known)  # type: ignore[arg-type]
            if value is not None and first is None:
                setattr(message, name, value)
        if first is not None and value is not None:
            self._twice(field, *first, value)
        elif value is not None:
            seen[name] = field, value

    def _read(self, item: Scalar, known: _Known) -> Any:
        """The value of a scalar, or None where it does not fit and has been reported."""

        def warn(message: str, help: str | None = None, code: str = "CL019") -> None:
            self.findings.warn(item.start, message, help, code=code)

        try:
            return known.read(item, known.descriptor, warn)  # type: ignore[misc]
        except BadValue as bad:
            field = known.descriptor
            foreign = dialects.value(f"{field.containing_type.name}.{field.name}", item.text.strip("\"'"))
            if foreign is not None and field.enum_type is not None:
                self._foreign(item.start, f"{field.name}: {item.text}", foreign)
            else:
                self.findings.add(item.start, bad.message, bad.help, code=bad.code)
            return None

    def _fits_shape(self, item: Value | None, known: _Known) -> bool:
        """Whether a block stands where a block belongs and a value where a value belongs."""
        name = known.descriptor.name
        if known.read is None and isinstance(item, Scalar):
            message = f"{name} takes a block, got {item.shown}"
            self.findings.add(item.start, message, f"write {name} {{ … }}", code="CL014")
            return False
        if known.read is not None and isinstance(item, Block):
            message = f"{name} takes {kind(known.descriptor)}, got a block"
            self.findings.add(item.start, message, f"write {name}: value", code="CL014")
            return False
        return True

    def _list_fits(self, message: Message, field: Field, known: _Known) -> bool:
        name, value = known.descriptor.name, field.value
        assert isinstance(value, ListValue)
        if not known.repeated:
            foreign = dialects.field(message.DESCRIPTOR.name, f"{name}[]") if value.items else None
            if foreign is not None:
                self._foreign(value.start, f"more than one {name}", foreign)
                return not foreign.effect
            one = value.items[0].shown if len(value.items) == 1 and isinstance(value.items[0], Scalar) else None
            help = f"write {name}: {one}" if one else None
            message = f"{name} takes one value, got a list of {len(value.items)}"
            self.findings.add(value.start, message, help, code="CL014")
            return False
        if field.colon is None and known.read is not None:
            self.findings.add(field.name.start, f'missing ":" after {name}', f"write {name}: [ … ]", code="CL010")
        return True

    def _twice(self, field: Field, first: Field, before: Any, now: Any) -> None:
        name, line = field.name.text, self.document.line(first.name.start)
        same = before == now or (before != before and now != now)
        if isinstance(now, Message):
            same, shown = now == before, "with the same content" if now == before else "with different contents"
            message, help = f"{name} is given twice, {shown} (first in line {line})", f"put it all into one {name}"
        else:
            old, new = first.items()[0], field.items()[0]
            assert isinstance(old, Scalar) and isinstance(new, Scalar)
            values = f"{old.shown} in line {line} and {new.shown} here"
            message, help = f"{name} is given twice: {values}", "keep the one you mean"
        if same:
            self.findings.warn(field.name.start, message, help, code="CL017")
        else:
            self.findings.add(field.name.start, message, help, code="CL016")
