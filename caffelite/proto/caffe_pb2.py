"""What code that protoc generates from caffe.proto offers, under its name.

Every message, every enum, every value of a top-level enum; `DESCRIPTOR`, that of the file; and descriptors as the code
of before protobuf 3.20 called them: `_LAYERPARAMETER`, `_POOLINGPARAMETER_POOLMETHOD`, `_PHASE`.  The messages are
those of :mod:`caffelite.proto`, so that text_format and all else of protobuf works with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import google.protobuf.text_format  # noqa: F401  where scripts name it in full, as protobuf 2 let them
from google.protobuf.descriptor import Descriptor, EnumDescriptor

from .. import proto

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


DESCRIPTOR = proto.pool.FindFileByName("caffe.proto")


def _old_names(descriptor: Descriptor | EnumDescriptor, around: str = "") -> Iterator[tuple[str, Any]]:
    """A descriptor, and those inside it, each under its old name."""
    name = f"{around}_{descriptor.name.upper()}"
    yield name, descriptor
    if isinstance(descriptor, Descriptor):
        for inner in (*descriptor.nested_types, *descriptor.enum_types):
            yield from _old_names(inner, name)


def _names() -> Iterator[tuple[str, Any]]:
    for name, message in DESCRIPTOR.message_types_by_name.items():
        yield name, getattr(proto, name)
        yield from _old_names(message)
    for name, enum in DESCRIPTOR.enum_types_by_name.items():
        yield name, getattr(proto, name)
        yield from ((value.name, value.number) for value in enum.values)
        yield from _old_names(enum)


globals().update(_names())
