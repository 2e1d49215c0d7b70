"""What text format allows and old files use, files as such, places, and the lossless tree."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from caffelite import proto
from caffelite.errors import PrototxtError
from caffelite.proto import Datum, LayerParameter, NetParameter, SolverParameter
from caffelite.prototxt import Loaded, load, loads, sub
from caffelite.prototxt.tree import Block, ListValue, Scalar

from .strategies import SAMPLE_NET, SAMPLE_SOLVER

ALLOWED = [
    'name: "x"\r\nforce_backward: true\r\n',
    '\tname:\t"x"',
    "name: 'it''s'",
    'name: "a" "b"\n  \'c\'',
    r'name: "\141\x62\n\t\\\"\u00e9\U0001F600"',
    'name: "é \U0001f600"  # é',
    "layer: { top: 'x' }",
    "layer < top: 'x' relu_param < > >",
    "layer: < top: 'x' >",
    "layer [ { top: 'x' }, < top: 'y' > ]",
    "layer: [{}]",
    "input_dim: [1, 2,\n3] input_dim: 4",
    "input_dim: []",
    "input_dim: 1, input_dim: 2; input_dim: 0x1F input_dim: 017 input_dim: -3",
    "layer { loss_weight: [1., .5, 1e3, 1E-3, 1f, 2.5F, -1, -.5, inf, -inf, nan, INF, infinity, Nan, -inff] }",
    "layer { phase: 1 }",
    "layer { phase: 0x1 }",
    "force_backward: t debug_info: 0",
    "force_backward: True debug_info: False",
    "# only a comment",
    "",
    "  \n\n",
    'name:"x"input:"y"',
    'name: "x"#comment',
    'name: "a#b"',
    "layer{top:'x'}layer{top:'y'}",
    "state { level: -2147483648 }",
    'name: "//no comment"',
]


@pytest.mark.parametrize("text", ALLOWED)
def test_what_text_format_allows_reads_as_protobuf_reads_it(text: str) -> None:
    loaded = loads(text, NetParameter)
    expected = text_format.Parse(text, NetParameter())
    assert loaded.message.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
    assert loaded.warnings == []
    assert loaded.document.text() == text


def test_a_sign_may_stand_apart_from_its_number() -> None:
    layer = loads("loss_weight: - 2 loss_weight: -\ninf", LayerParameter).message
    assert list(layer.loss_weight) == [-2.0, -math.inf]


def test_a_byte_order_mark_is_passed_over() -> None:
    loaded = loads('\ufeffname: "x"', NetParameter)
    place = loaded.places("name")
    assert loaded.message.name == "x"
    assert loaded.warnings == []
    assert place is not None and (place.line, place.column, place.text) == (1, 1, 'name: "x"')
    assert loaded.document.text() == '\ufeffname: "x"'


def test_bytes_take_any_byte() -> None:
    assert loads(r'data: "\377\000é"', Datum).message.data == b"\xff\x00\xc3\xa9"


def test_old_files_may_have_comments_in_other_encodings(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_bytes(b'# r\xe9seau\nname: "x"')
    assert load(file, NetParameter).message.name == "x"
    file.write_bytes(b'name: "r\xe9seau"')
    with pytest.raises(PrototxtError) as caught:
        load(file, NetParameter)
    assert str(caught.value) == (
        f'{file}:1:7: name is not UTF-8\n    name: "r\ufffdseau"\n          ^\n  help: save the file in UTF-8'
    )


# Files


def refusal(path: str | Path, message_type: Any = NetParameter) -> str:
    with pytest.raises(PrototxtError) as caught:
        load(path, message_type)
    return str(caught.value)


def test_a_file_names_itself_in_its_places(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text("nam: 'x'\n")
    assert refusal(file).startswith(f'{file}:1:1: unknown field "nam" in a net\n')


def test_a_missing_file_is_told_with_its_likely_name(tmp_path: Path) -> None:
    (tmp_path / "lenet_solver.prototxt").write_text(SAMPLE_SOLVER)
    wrong, nowhere = tmp_path / "lenet-solver.prototext", tmp_path / "models" / "x.prototxt"
    assert refusal(wrong) == f"{wrong}: no such file\n  help: did you mean lenet_solver.prototxt?"
    assert refusal(nowhere).startswith(f"{nowhere}: no such file\n  help: there is no folder {nowhere.parent} either")


def test_a_folder_is_told_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.prototxt").write_text(SAMPLE_NET)
    assert refusal(tmp_path) == f"{tmp_path}: this is a folder, not a file\n  help: it holds a.prototxt"


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "is empty"), (b"\xef\xbb\xbf \r\n", "is empty"), (b"# nothing\n", "holds only comments")],
)
def test_a_file_without_a_field_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    file = tmp_path / "net.prototxt"
    file.write_bytes(content)
    assert refusal(file) == (
        f"{file}: the file {what}; a net was expected\n  help: was it written to the end? is it the right file?"
    )


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("a.caffemodel", "a .caffemodel holds trained weights, not a net: give it with --weights"),
        ("a.solverstate", "a .solverstate holds the state of a run: give it with --snapshot"),
        ("a.prototxt", "prototxt is text; this may be weights, data or an archive"),
    ],
)
def test_a_binary_file_is_told_for_what_it_is(tmp_path: Path, name: str, help: str) -> None:
    file = tmp_path / name
    net = NetParameter(name="n")
    net.layer.add().blobs.add().data.extend([0.0, 1.5])
    file.write_bytes(net.SerializeToString())
    wanted = "a solver in prototxt was expected"
    assert refusal(file, SolverParameter) == f"{file}: this is a binary file; {wanted}\n  help: {help}"


def test_utf16_is_told_by_name(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text('name: "x"', encoding="utf-16")
    assert refusal(file) == f"{file}: the file is in UTF-16\n  help: save it in UTF-8"


# Places

PLACED = """name: "n"
layer { name: "a" }
layer {
  name: "b"
  loss_weight: 1
  loss_weight: [2,
    3]
  convolution_param {
    kernel_size: 3
  }
}
layer: [ { name: "c" },
  { name: "d" } ]
"""


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ("", 1, 1),
        ("name", 1, 1),
        ("layer[0]", 2, 1),
        ("layer[0].name", 2, 9),
        ("layer[1]", 3, 1),
        ("layer[1].loss_weight[0]", 5, 3),
        ("layer[1].loss_weight[1]", 6, 17),
        ("layer[1].loss_weight[2]", 7, 5),
        ("layer[1].convolution_param.kernel_size[0]", 9, 5),
        ("layer[1].convolution_param.kernel_size", 9, 5),
        ("layer[1].convolution_param.stride_h", 8, 3),
        ("layer[1].convolution_param.weight_filler.type", 8, 3),
        ("layer[1].pooling_param", 3, 1),
        ("layer[1].name.nothing", 4, 3),
        ("layer[2]", 12, 10),
        ("layer[3].name", 13, 5),
        ("layer[9].name", 1, 1),
        ("nothing", 1, 1),
    ],
)
def test_a_path_leads_to_its_field_or_the_nearest_around_it(path: str, line: int, column: int) -> None:
    place = loads(PLACED, NetParameter, file="n.prototxt").places(path)
    assert place is not None
    assert (place.file, place.line, place.column) == ("n.prototxt", line, column)
    assert place.text == PLACED.split("\n")[line - 1]


def test_places_below_a_prefix() -> None:
    places = loads(PLACED, NetParameter).places
    inner = sub(sub(places, "layer[1]"), "convolution_param")
    assert inner("kernel_size[0]") == places("layer[1].convolution_param.kernel_size[0]")
    assert inner("") == places("layer[1].convolution_param")
    assert sub(places, "")("name") == places("name")


def test_a_message_without_a_text_has_no_places() -> None:
    loaded = Loaded.of(NetParameter(name="x"))
    assert loaded.message.name == "x"
    assert loaded.places("name") is None


# The tree


def test_the_tree_keeps_what_the_message_forgets() -> None:
    document = loads("# first\nlayer { top: ['a', 'b'] } # last\n", NetParameter).document
    (layer,) = document.fields
    assert [comment.text for comment in document.comments()] == ["# first", "# last"]
    assert isinstance(layer.value, Block) and layer.value.close is not None and layer.value.close.text == "}"
    (top,) = layer.value.fields
    assert isinstance(top.value, ListValue)
    assert [item.text for item in top.value.items if isinstance(item, Scalar)] == ["'a'", "'b'"]


def test_required_fields_are_asked_for_in_every_message_that_lacks_them() -> None:
    with pytest.raises(PrototxtError) as caught:
        loads("layer { clip_param { } }\nlayer { clip_param { min: 0 max: 1 } }", NetParameter)
    assert [fault.message for fault in caught.value.faults] == [
        "clip_param lacks min, which has no default",
        "clip_param lacks max, which has no default",
    ]


def _long_net(layers: int) -> str:
    block = """layer {{
  name: "conv{0}"
  type: "Convolution"
  bottom: "top{0}"
  top: "top{1}"
  param {{
    lr_mult: 1
    decay_mult: 1
  }}
  convolution_param {{
    num_output: 64  # maps
    kernel_size: 3
    weight_filler {{
      type: "xavier"
      std: 0.03
    }}
  }}
}}
"""
    return "".join(block.format(index, index + 1) for index in range(layers))


def test_a_net_of_2400_lines_is_read() -> None:
    text = _long_net(134)
    assert text.count("\n") >= 2400
    loaded = loads(text, NetParameter)
    assert [layer.top[0] for layer in loaded.message.layer] == [f"top{index}" for index in range(1, 135)]
    assert all(layer.convolution_param.num_output == 64 for layer in loaded.message.layer)


def test_every_type_of_the_schema_can_be_read() -> None:
    for name, descriptor in NetParameter.DESCRIPTOR.file.message_types_by_name.items():
        message_type = getattr(proto, name)
        if all(not field.is_required for field in descriptor.fields):
            assert loads("", message_type).message == message_type()


def test_a_binary_file_of_any_size_is_refused_by_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "huge.prototxt"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 42)
    assert "this is a binary file" in refusal(file)
