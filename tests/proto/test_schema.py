"""The schema is Caffe 1.0's to the field number, `caffe.desc` is made from it, and every field is explained."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    SourceCodeInfo,
)

from caffelite import proto

from ..conftest import REPO

CAFFE = json.loads(Path(__file__).with_name("caffe_1_0.json").read_text())
"""Caffe 1.0: message → field → [number, label, type, default?, "packed"?], and enum → name → number, in order."""
OURS_FROM = 5000
STORED_BY_FORKS = {"AnnotatedDatum", "AnnotationGroup", "Annotation", "NormalizedBBox"}
"""Messages of forks that data sets hold: these have the forks' numbers."""


def loaded() -> FileDescriptorProto:
    """The schema as the package has loaded it."""
    file = FileDescriptorProto()
    proto.pool.FindFileByName("caffe.proto").CopyToProto(file)
    return file


def compiled(folder: Path, *options: str) -> FileDescriptorProto:
    """protos/caffe.proto compiled now; the test is skipped where the compiler is not installed."""
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools, the compiler of .proto, is not installed")
    target = folder / "new.desc"
    arguments = ["protoc", f"-I{REPO / 'protos'}", f"--descriptor_set_out={target}", *options, "caffe.proto"]
    assert protoc.main(arguments) == 0
    return FileDescriptorSet.FromString(target.read_bytes()).file[0]


def facts(field: FieldDescriptorProto) -> dict[str, Any]:
    named = field.type_name.removeprefix(".caffe.")
    return {
        "number": field.number,
        "label": FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower(),
        "type": named or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower(),
        "default": field.default_value if field.HasField("default_value") else None,
        "packed": field.options.packed,
    }


def expected(number: int, label: str, type: str, default: str | None = None, packed: str = "") -> dict[str, Any]:
    return {"number": number, "label": label, "type": type, "default": default, "packed": packed == "packed"}


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Runtimes write one float in several ways (0.99, 0.99000001): floats are compared by their four bytes."""
    if row["type"] == "float" and row["default"] is not None:
        return row | {"default": struct.pack("<f", float(row["default"]))}
    return row


def fields_of(message: DescriptorProto) -> dict[str, dict[str, Any]]:
    return {field.name: comparable(facts(field)) for field in message.field if field.number < OURS_FROM}


def test_there_are_the_messages_of_caffe() -> None:
    assert loaded().package == CAFFE["package"]
    assert loaded().syntax in ("", "proto2")
    assert set(CAFFE["messages"]) <= {message.name for message in loaded().message_type}


@pytest.mark.parametrize("name", CAFFE["messages"])
def test_message_has_exactly_the_fields_of_caffe(name: str) -> None:
    message = next(message for message in loaded().message_type if message.name == name)
    caffes = {field: comparable(expected(*row)) for field, row in CAFFE["messages"][name].items()}
    assert fields_of(message) == caffes


def test_a_message_of_our_own_would_use_our_numbers() -> None:
    for message in loaded().message_type:
        if message.name not in {*CAFFE["messages"], *STORED_BY_FORKS}:
            assert all(field.number >= OURS_FROM for field in message.field), message.name


def test_enums_have_exactly_the_values_of_caffe_in_their_order() -> None:
    file = loaded()
    ours = {enum.name: enum for enum in file.enum_type}
    caffes = [message for message in file.message_type if message.name in CAFFE["messages"]]
    ours |= {f"{message.name}.{enum.name}": enum for message in caffes for enum in message.enum_type}
    named = {name: [(v.name, v.number) for v in ours[name].value if v.number < OURS_FROM] for name in CAFFE["enums"]}
    assert named == {name: list(values.items()) for name, values in CAFFE["enums"].items()}


def test_caffe_desc_is_made_from_the_proto(tmp_path: Path) -> None:
    new = compiled(tmp_path)
    assert FileDescriptorSet(file=[new]) == FileDescriptorSet.FromString(
        (REPO / "caffelite" / "proto" / "caffe.desc").read_bytes()
    ), "protos/caffe.proto has changed since caffe.desc was made: run make proto"


def explained(path: list[int], info: SourceCodeInfo) -> bool:
    place = next(place for place in info.location if list(place.path) == path)
    return bool(place.leading_comments.strip() or place.trailing_comments.strip())


def places(file: FileDescriptorProto) -> Iterator[tuple[str, list[int]]]:
    """Everything that wants a comment, with its path in the descriptor (see SourceCodeInfo in descriptor.proto)."""
    for e, enum in enumerate(file.enum_type):
        yield enum.name, [5, e]
    for m, message in enumerate(file.message_type):
        yield message.name, [4, m]
        for f, field in enumerate(message.field):
            yield f"{message.name}.{field.name}", [4, m, 2, f]
        for e, enum in enumerate(message.enum_type):
            yield f"{message.name}.{enum.name}", [4, m, 4, e]


def test_everything_is_explained(tmp_path: Path) -> None:
    file = compiled(tmp_path, "--include_source_info")
    wanting = list(places(file))
    assert len(wanting) > 500
    assert [name for name, path in wanting if not explained(path, file.source_code_info)] == []
