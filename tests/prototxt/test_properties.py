"""What must hold for every message and every text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.internal import api_implementation
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy import float32

from caffelite import proto
from caffelite.errors import CaffeliteError, PrototxtError
from caffelite.prototxt import dump, loads
from caffelite.prototxt.parse import parse
from caffelite.prototxt.tokens import tokenize

from .strategies import GOLDEN, by_protobuf, corpus, messages, same, styled

TYPES = [
    proto.NetParameter,
    proto.SolverParameter,
    proto.LayerParameter,
    proto.V1LayerParameter,
    proto.BlobProto,
    proto.Datum,
]
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("message_type", TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
@settings(RELAXED, max_examples=60)
def test_writing_and_reading_gives_the_message_back(message_type: Any, data: Any) -> None:
    message = data.draw(messages(message_type))
    loaded = loads(dump(message), message_type)
    assert same(loaded.message, message)
    assert loaded.warnings == []


@pytest.mark.parametrize("message_type", TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
@settings(RELAXED, max_examples=60)
def test_every_style_of_text_reads_as_protobuf_reads_it(message_type: Any, data: Any) -> None:
    text = data.draw(messages(message_type).flatmap(styled))
    expected = text_format.Parse(text, message_type())
    loaded = loads(text, message_type)
    assert same(loaded.message, expected)
    assert loaded.warnings == []
    assert loaded.document.text() == text


def _alike(ours: str, theirs: str) -> bool:
    """Whether two lines are the same, or spell the same 32-bit number (theirs with a point or an exponent)."""
    if ours == theirs:
        return True
    (name, _, one), (other_name, _, other) = ours.partition(": "), theirs.partition(": ")
    if name != other_name or not re.search("[.e]", other):
        return False
    return float(one) == float(other) or bool(float32(one) == float32(other))


@pytest.mark.parametrize("message_type", TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
@settings(RELAXED, max_examples=60)
def test_the_canonical_text_is_protobufs_but_for_the_spelling_of_floats(message_type: Any, data: Any) -> None:
    message = data.draw(messages(message_type))
    for ours, theirs in zip(dump(message).split("\n"), text_format.MessageToString(message).split("\n"), strict=True):
        assert _alike(ours, theirs), (ours, theirs)
    if api_implementation.Type() == "upb":  # there, str() spells floats as the original does
        assert dump(message) == str(message)


def test_the_recorded_files_read_as_protobuf_reads_them() -> None:
    for text, message_type in corpus():
        loaded = loads(text, message_type)
        assert loaded.message == by_protobuf(text, message_type), text
        assert loaded.warnings == []
        assert loads(dump(loaded.message), message_type).message == loaded.message


def test_the_canonical_text_is_the_one_the_original_writes() -> None:
    written = [path for folder in GOLDEN for path in folder.glob("upgrade/*.upgraded.prototxt")]
    if not written:
        pytest.skip("the recorded files are not at hand (CAFFELITE_GOLDEN names the folder of all of them)")
    for path in written:
        message_type = proto.SolverParameter if "solver" in path.name else proto.NetParameter
        assert dump(loads(path.read_text(), message_type).message) == path.read_text(), path.name


def _check_faults(error: CaffeliteError, text: str) -> None:
    lines = text.removeprefix("\ufeff").split("\n")
    assert error.faults
    positions = []
    for fault in error.faults:
        place = fault.place
        assert place is not None and place.line is not None and place.column is not None
        assert 1 <= place.line <= len(lines)
        assert 1 <= place.column <= len(lines[place.line - 1]) + 1
        assert str(fault)
        positions.append((place.line, place.column))
    assert positions == sorted(positions)


def _judge(text: str, message_type: Any) -> None:
    """Never a crash; lossless; faults inside the text and in order; in agreement with protobuf."""
    assert parse(text)[0].text() == text
    expected = by_protobuf(text, message_type)
    try:
        loaded = loads(text, message_type)
    except PrototxtError as error:
        assert expected is None, f"protobuf accepts {text!r}, we say {error}"
        _check_faults(error, text)
        return
    for fault in loaded.warnings:
        assert fault.severity == "warning"
    # A blank between the sign and the number is allowed to protobuf's reader for C++, not to that for Python.
    if not loaded.warnings and not re.search(r"-[\s#]", text):
        assert expected is not None, f"protobuf refuses {text!r}"
    if expected is not None:
        assert same(loaded.message, expected)


@st.composite
def _mutated(draw: Callable[..., Any]) -> tuple[str, Any]:
    text, message_type = draw(st.sampled_from(corpus()))
    tokens = [token.text for token in tokenize(text)]
    other = [token.text for token in tokenize(draw(st.sampled_from(corpus()))[0])]
    extra = st.sampled_from(
        ["{", "}", "<", ">", "[", "]", ":", ",", ";", '"', "'", "=", "/", "//", "/*", "“", "\0", "-", "5"]
    )
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens)))
        action = draw(st.sampled_from(["delete", "insert", "swap", "foreign"]))
        if action == "delete":
            del tokens[at : at + draw(st.integers(1, 3))]
        elif action == "insert":
            tokens.insert(at, draw(extra))
        elif action == "foreign":
            tokens.insert(at, draw(st.sampled_from(other)))
        elif tokens[at : at + 2]:
            tokens[at : at + 2] = tokens[at : at + 2][::-1]
    return "".join(tokens), message_type


@given(_mutated())
@settings(RELAXED, max_examples=600)
def test_a_damaged_file_is_judged_as_protobuf_judges_it(case: tuple[str, Any]) -> None:
    assume("\\?" not in case[0])
    _judge(*case)


@given(st.text(max_size=60), st.sampled_from(TYPES))
@settings(RELAXED, max_examples=300)
def test_any_text_is_judged_as_protobuf_judges_it(text: str, message_type: Any) -> None:
    assume(not text.startswith("\ufeff"))
    _judge(text, message_type)


@given(
    st.lists(
        st.sampled_from([*"{}<>[]:,;\"'#\\", "\n", " ", "name", "layer", "top", "5", "//", "/*", "*/", "-", "TRAIN"])
    ).map("".join)
)
@settings(RELAXED, max_examples=600)
def test_a_heap_of_tokens_is_judged_as_protobuf_judges_it(text: str) -> None:
    _judge(text, proto.NetParameter)


@pytest.mark.parametrize("text", ["layer {" * 5000, "a{" * 150 + "}" * 150, "[" * 5000, "top: [" * 5000, "}" * 300])
def test_deep_nesting_is_a_fault_and_not_a_crash(text: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        loads(text, proto.NetParameter)
    _check_faults(caught.value, text)
