"""Messages of any type, and texts of them in any style that protobuf's text format allows."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from caffelite.proto import NetParameter, SolverParameter
from caffelite.prototxt.build import is_repeated

F = FieldDescriptor
_REPO = Path(__file__).parents[2]
GOLDEN = [_REPO / "tests" / "golden", Path(os.environ.get("CAFFELITE_GOLDEN", _REPO.parent / "shared" / "golden"))]
"""Where recorded files may lie: the few that a clone carries, and all of them."""

_NUMBERS = {
    F.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    F.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    F.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    F.CPPTYPE_FLOAT: st.one_of(
        st.sampled_from([0.1, 1e-8, 1.0, math.nan, math.inf, -math.inf, -0.0]), st.floats(width=32)
    ),
    F.CPPTYPE_DOUBLE: st.floats(),
    F.CPPTYPE_BOOL: st.booleans(),
}


def _scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.cpp_type == F.CPPTYPE_ENUM:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == F.TYPE_BYTES:
        return st.binary(max_size=8)
    if field.cpp_type == F.CPPTYPE_STRING:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    return _NUMBERS[field.cpp_type].map(lambda value: math.nan if value != value else value)


def messages(message_type: type[Message], depth: int = 3) -> st.SearchStrategy[Any]:
    """Messages of a type with up to four fields set, nested `depth` deep; required fields are always set."""
    return _messages(message_type.DESCRIPTOR, depth)


@cache
def _messages(descriptor: Descriptor, depth: int) -> st.SearchStrategy[Any]:
    fields = [field for field in descriptor.fields if depth > 0 or field.message_type is None]
    required = [field for field in fields if field.is_required]

    @st.composite
    def build(draw: Callable[..., Any]) -> Any:
        message = GetMessageClass(descriptor)()
        names = (
            st.lists(st.sampled_from(fields), max_size=4, unique_by=lambda field: field.name) if fields else st.just([])
        )
        chosen = draw(names)
        for field in {field.name: field for field in [*required, *chosen]}.values():
            one = _scalars(field) if field.message_type is None else _messages(field.message_type, depth - 1)
            if is_repeated(field):
                getattr(message, field.name).extend(draw(st.lists(one, max_size=3)))
            elif field.message_type is not None:
                getattr(message, field.name).CopyFrom(draw(one))
                getattr(message, field.name).SetInParent()
            else:
                setattr(message, field.name, draw(one))
        return message

    return build()


def _integer(draw: Callable[..., Any], value: int) -> str:
    sign, size = ("-" if value < 0 else ""), abs(value)
    return sign + draw(st.sampled_from([str(size), hex(size), f"0{size:o}" if size else "0"]))


def _float(draw: Callable[..., Any], value: float) -> str:
    if value != value or math.isinf(value):
        return str(value) if draw(st.booleans()) else str(value).upper()
    text = repr(value)
    forms = [text, f"{value:.17g}", f"{value:.20e}", text + "f", text.removesuffix("0"), text.replace("0.", ".", 1)]
    return draw(
        st.sampled_from(
            [form for form in forms if form == text or (float(form.rstrip("f")) == value and form[:1] != "0")]
        )
    )


def _string(draw: Callable[..., Any], data: bytes) -> str:
    pieces = []
    for part in [data[: len(data) // 2], data[len(data) // 2 :]] if draw(st.booleans()) else [data]:
        quote = draw(st.sampled_from("\"'"))
        pieces.append(
            quote + "".join(draw(st.sampled_from([f"\\{byte:03o}", f"\\x{byte:02x}"])) for byte in part) + quote
        )
    return draw(st.sampled_from(["", " ", "\n"])).join(pieces)


def _value(draw: Callable[..., Any], field: FieldDescriptor, value: Any) -> str:
    if field.cpp_type == F.CPPTYPE_BOOL:
        return draw(st.sampled_from(["true", "t", "1", "True"] if value else ["false", "f", "0", "False"]))
    if field.cpp_type == F.CPPTYPE_ENUM:
        return draw(st.sampled_from([field.enum_type.values_by_number[value].name, str(value), hex(value)]))
    if field.cpp_type in (F.CPPTYPE_FLOAT, F.CPPTYPE_DOUBLE):
        return _float(draw, value)
    if field.cpp_type == F.CPPTYPE_STRING:
        return _string(draw, value if isinstance(value, bytes) else value.encode())
    return _integer(draw, value)


@st.composite
def styled(draw: Callable[..., Any], message: Message) -> str:
    """A text of the message, its style drawn: brackets, separators, lists, comments, spellings of values."""
    blank = st.sampled_from([" ", "\n", "\r\n", "\t", "  # a remark: { é\n", "\n\n"])
    parts = []
    for field, value in message.ListFields():
        if field.message_type is None:
            items, colon = [_value(draw, field, item) for item in (value if is_repeated(field) else [value])], ":"
        else:
            items, colon = [], draw(st.sampled_from(["", ":"]))
            for block in value if is_repeated(field) else [value]:
                opening, closing = draw(st.sampled_from(["{}", "<>"]))
                items.append(f"{opening}{draw(blank)}{draw(styled(block))}{closing}")
        if is_repeated(field) and draw(st.booleans()):
            items = ["[" + f"{draw(blank)},".join(items) + "]"]
        for item in items:
            parts.append(f"{field.name}{colon}{draw(blank)}{item}{draw(st.sampled_from(['', ',', ';']))}{draw(blank)}")
    return "".join(parts)


def by_protobuf(text: str, message_type: type[Message]) -> Message | None:
    """What protobuf's own reader makes of the text; None where it refuses, or where required fields are missing
    (which its reader for C++ refuses)."""
    try:
        message = text_format.Parse(text, message_type())
    except text_format.ParseError:
        return None
    return message if message.IsInitialized() else None


def same(one: Message, other: Message) -> bool:
    """Equality in which nan equals nan."""
    return one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


SAMPLE_NET = """# a small net
name: "sample"
layer {
  name: "data"  type: "Data"
  top: "data" top: "label"
  include { phase: TRAIN }
  transform_param { scale: 0.00390625, mirror: true }
  data_param { source: "train_lmdb"; batch_size: 64; backend: LMDB }
}
layer <
  name: 'conv1'
  type: "Convolution"
  bottom: "data"
  top: "conv1"
  param: { lr_mult: 1. }
  param { lr_mult: 2 decay_mult: .5 }
  convolution_param {
    num_output: 20  # maps
    kernel_size: [5, 0x5]
    weight_filler { type: "xav" "ier" std: 1e-2 }
  }
>
"""

SAMPLE_SOLVER = """net: "net.prototxt"
base_lr: 0.01   # start here
lr_policy: "multistep"
stepvalue: [5000, 8000]
test_iter: 100
test_interval: 500
snapshot_after_train: false
solver_mode: CPU
train_state { stage: "a" stage: "b" level: -1 }
"""


@cache
def corpus() -> list[tuple[str, type[Message]]]:
    """Valid texts with their types: two of our own, and the recorded ones where they are at hand."""
    found: list[tuple[str, type[Message]]] = [(SAMPLE_NET, NetParameter), (SAMPLE_SOLVER, SolverParameter)]
    for path in (path for folder in GOLDEN for path in sorted(folder.rglob("*.prototxt"))):
        text = path.read_text("utf-8")
        found += [(text, kind) for kind in (NetParameter, SolverParameter) if by_protobuf(text, kind) is not None]
    return found
