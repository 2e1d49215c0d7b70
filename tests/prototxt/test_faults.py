"""What people are told about a file that is wrong: word for word, as they see it."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

import pytest

from caffelite.errors import PrototxtError
from caffelite.proto import NetParameter, SolverParameter
from caffelite.prototxt import load, loads


def told(text: str, message_type: Any = NetParameter, *, strict: bool = False) -> str:
    with pytest.raises(PrototxtError) as caught:
        loads(text, message_type, file="net.prototxt", strict=strict)
    return str(caught.value)


def one_line(text: str, message_type: Any = NetParameter) -> tuple[str, str | None]:
    """Message and help of the only fault."""
    with pytest.raises(PrototxtError) as caught:
        loads(text, message_type)
    (fault,) = caught.value.faults
    return fault.message, fault.help


def in_layer(text: str) -> str:
    return f"layer {{ {text} }}"


FIELDS = [
    (in_layer("nam: 'x'"), 'unknown field "nam" in layer', "did you mean name?"),
    (
        in_layer("kernel_size: 3"),
        'unknown field "kernel_size" in layer',
        "it belongs in convolution_param or pooling_param",
    ),
    (
        in_layer('type: "Pooling" kernel_size: 3'),
        'unknown field "kernel_size" in layer',
        "it belongs in pooling_param",
    ),
    (
        in_layer("convolution_param { num_output: 1 top: 'y' }"),
        'unknown field "top" in convolution_param',
        'it belongs in layer: is a "}" missing above?',
    ),
    (
        in_layer('type: "InnerProduct" relu_param { num_output: 5 }'),
        'unknown field "num_output" in relu_param',
        "it belongs in inner_product_param",
    ),
    (
        in_layer("kernal_size: 3"),
        'unknown field "kernal_size" in layer',
        "did you mean kernel_size, in convolution_param or pooling_param?",
    ),
    (in_layer("qqqqq: 3"), 'unknown field "qqqqq" in layer', None),
    ("Layer { }", 'unknown field "Layer" in a net', "did you mean layer?"),
    (
        in_layer("convolution-param { }"),
        'unknown field "convolution-param" in layer',
        "did you mean convolution_param?",
    ),
]

VALUES = [
    (in_layer("name: conv1"), "name takes a text in quotes, got conv1", 'put quotes around it: name: "conv1"'),
    (in_layer("name: 5"), "name takes a text in quotes, got 5", 'put quotes around it: name: "5"'),
    (in_layer("phase: TRIAN"), "unknown value TRIAN for phase", "did you mean TRAIN?"),
    (in_layer("phase: xyz"), "unknown value xyz for phase", "write one of TRAIN, TEST"),
    (in_layer('phase: "TEST"'), 'phase takes one of TRAIN, TEST, got "TEST"', "take the quotes off: phase: TEST"),
    (in_layer("phase: 7"), "phase has no value with the number 7", "known: TRAIN (0), TEST (1)"),
    (
        in_layer("convolution_param { num_output: -1 }"),
        "num_output cannot be negative, got -1",
        None,
    ),
    (
        in_layer("convolution_param { num_output: 4294967296 }"),
        "num_output must lie between 0 and 4294967295, got 4294967296",
        None,
    ),
    (
        in_layer("softmax_param { axis: 0x80000000 }"),
        "axis must lie between -2147483648 and 2147483647, got 0x80000000",
        None,
    ),
    (in_layer("softmax_param { axis: 1.0 }"), "axis takes a whole number, got 1.0", "write 1"),
    (in_layer("softmax_param { axis: 1e1 }"), "axis takes a whole number, got 1e1", "write 10"),
    (in_layer("softmax_param { axis: 1.5 }"), "axis takes a whole number, got 1.5", None),
    (in_layer("softmax_param { axis: '1' }"), "axis takes a whole number, got '1'", "take the quotes off: axis: 1"),
    (in_layer("softmax_param { axis: 08 }"), "axis takes a whole number, got 08", "take the leading 0 off: 8"),
    (in_layer("softmax_param { axis: one }"), "axis takes a whole number, got one", None),
    (in_layer("power_param { scale: 1.2.3 }"), "scale takes a number, got 1.2.3", None),
    (in_layer("power_param { scale: 01.5 }"), "scale takes a number, got 01.5", "take the leading 0 off: 1.5"),
    (in_layer("power_param { scale: '1.5' }"), "scale takes a number, got '1.5'", "take the quotes off: scale: 1.5"),
    ("force_backward: yes", "force_backward takes true or false, got yes", "write force_backward: true"),
    ('force_backward: "false"', 'force_backward takes true or false, got "false"', "write force_backward: false"),
    ("force_backward: 2", "force_backward takes true or false, got 2", None),
    ("layer: 5", "layer takes a block, got 5", "write layer { … }"),
    ("name { }", "name takes a text in quotes, got a block", "write name: value"),
    ('name: ["x"]', "name takes one value, got a list of 1", 'write name: "x"'),
    ('name: ["x", "y"]', "name takes one value, got a list of 2", None),
    (in_layer("top ['x']"), 'missing ":" after top', "write top: [ … ]"),
    (r'name: "\777"', r"\777 is no byte", r"octal escapes end at \377"),
    (r'name: "\xq"', r"\x needs hexadecimal digits behind it", r"a backslash itself is written \\"),
    (r'name: "\ud800"', r"\ud800 is no character", None),
    (r'name: "\200"', "name is not UTF-8", "save the file in UTF-8"),
]

REPEATS = [
    ('name: "x"\nname: "y"', 'name is given twice: "x" in line 1 and "y" here', "keep the one you mean"),
    (
        in_layer("relu_param { }\nrelu_param { negative_slope: 1 }"),
        "relu_param is given twice, with different contents (first in line 1)",
        "put it all into one relu_param",
    ),
    (in_layer("clip_param { min: 0 }"), "clip_param lacks max, which has no default", "add max: and a value"),
]

SYNTAX = [
    ("layer {\n  name: 'x'\n", '"{" of layer is never closed', 'add "}" at the end'),
    ("name: 'x'\n}\n", '"}" closes nothing', 'take it out, or look for one "}" too many above'),
    ("layer {\n>", '">" cannot close "{" of layer, opened in line 1', 'write "}"'),
    ('name "x"', 'missing ":" after name', 'write name: "x"'),
    ('name = "x"', '"=" instead of ":" after name', "write name: …"),
    ("name", "name has no value", "write name: and its value, or take it out"),
    ("name:\nlayer { }", "name has no value", "write name: and its value, or take it out"),
    ("layer { name: }", "name has no value", "write name: and its value, or take it out"),
    ('name: "x', "a string is not closed", 'end it with " on the same line'),
    ("name: 'a' 'b", "a string is not closed", "end it with ' on the same line"),
    ("name: data/mnist.prototxt", "a text needs quotes around it", 'write name: "data/mnist.prototxt"'),
    ("name: ./mnist", "a text needs quotes around it", 'write name: "./mnist"'),
    ('name: conv1"', "a text needs quotes around it", 'write name: "conv1"'),
    ("name: 5%", '"5%" is not a number', 'if it is a text, write name: "5%"'),
    ("name: “x”", "unexpected “ (U+201C)", 'write the plain " instead'),
    ('name: "x" 5', 'unexpected "5"', "a field is written name: value, or name { … }"),
    ('name: "x";;', 'unexpected ";"', "a field is written name: value, or name { … }"),
    ('name: "x" \0', "unexpected character (U+0000)", "a field is written name: value, or name { … }"),
    ('name: "x" é', 'unexpected "é" (U+00E9)', "a field is written name: value, or name { … }"),
    ("input_dim: 10,000", 'unexpected "000"', "a number has no comma in it: 10000, or 0.5 for a half"),
    (
        '/* a\n b */ name: "x"',
        "a /* … */ comment is not part of prototxt",
        'begin every line of the comment with "#"',
    ),
    ("input_dim: [1 2]", 'missing "," between the values of a list', None),
    ("input_dim: [1, ]", 'no value after "," in a list', 'take the "," out'),
    ("input_dim: [, 1]", 'no value before "," in a list', 'take the "," out'),
    ('input_dim: [1, 2\nname: "x"', '"[" of input_dim is never closed', 'write "]" after the last value'),
    ("{ }", 'unexpected "{"', "a field is written name: value, or name { … }"),
]


@pytest.mark.parametrize(("text", "message", "help"), FIELDS + VALUES + REPEATS + SYNTAX)
def test_each_fault_is_told_once_and_with_a_way_out(text: str, message: str, help: str | None) -> None:
    assert one_line(text) == (message, help)


def test_a_fault_shows_its_line_and_points_at_it() -> None:
    text = 'layer {\n  name: "conv1"\n\tconvolution_param {\n    kernal_size: 5\n  }\n}\n'
    assert told(text) == (
        'net.prototxt:4:5: unknown field "kernal_size" in convolution_param\n'
        "        kernal_size: 5\n"
        "        ^\n"
        "  help: did you mean kernel_size?"
    )


def test_a_wrong_value_is_pointed_at_itself() -> None:
    assert told("layer { softmax_param { axis: 1.5 } }  # why\r\n") == (
        "net.prototxt:1:31: axis takes a whole number, got 1.5\n"
        "    layer { softmax_param { axis: 1.5 } }  # why\n"
        "                                  ^"
    )


def test_all_faults_of_a_file_come_in_one_report_and_in_order() -> None:
    text = """name: net
layer {
  type "ReLU"
  bottm: "x"
  relu_param { negative_slope: zero }
}
layr {
  top: 5
}
// the end
"""
    assert told(text) == (
        "net.prototxt:1:7: name takes a text in quotes, got net\n"
        "    name: net\n"
        "          ^\n"
        '  help: put quotes around it: name: "net"\n'
        'net.prototxt:3:3: missing ":" after type\n'
        '      type "ReLU"\n'
        "      ^\n"
        '  help: write type: "ReLU"\n'
        'net.prototxt:4:3: unknown field "bottm" in layer\n'
        '      bottm: "x"\n'
        "      ^\n"
        "  help: did you mean bottom?\n"
        "net.prototxt:5:32: negative_slope takes a number, got zero\n"
        "      relu_param { negative_slope: zero }\n"
        "                                   ^\n"
        'net.prototxt:7:1: unknown field "layr" in a net\n'
        "    layr {\n"
        "    ^\n"
        "  help: did you mean layer?\n"
        "net.prototxt:8:8: top takes a text in quotes, got 5\n"
        "      top: 5\n"
        "           ^\n"
        '  help: put quotes around it: top: "5"\n'
        'net.prototxt:10:1: warning: "//" does not begin a comment in Caffe\n'
        "    // the end\n"
        "    ^\n"
        '  help: begin comments with "#"'
    )


def test_a_forgotten_brace_is_found_by_the_indentation() -> None:
    text = """layer {
  name: "conv1"
  convolution_param {
    num_output: 20
    weight_filler { type: "xavier" }
}
layer {
  name: "relu1"
  tpe: "ReLU"
}
"""
    assert told(text) == (
        'net.prototxt:3:21: "{" of convolution_param is never closed\n'
        "      convolution_param {\n"
        "                        ^\n"
        '  help: add "}" before line 6\n'
        'net.prototxt:9:3: unknown field "tpe" in layer\n'
        '      tpe: "ReLU"\n'
        "      ^\n"
        "  help: did you mean type?"
    )


def test_a_layer_that_is_not_closed_does_not_swallow_the_next() -> None:
    assert told('layer {\n  name: "a"\n\nlayer {\n  name: "b"\n}\n') == (
        'net.prototxt:1:7: "{" of layer is never closed\n    layer {\n          ^\n  help: add "}" before line 4'
    )


def test_every_forgotten_brace_is_told_where_it_was_forgotten() -> None:
    text = "".join(f'layer {{\n  name: "l{index}"\n' for index in range(300))
    with pytest.raises(PrototxtError) as caught:
        loads(text, NetParameter)
    assert [(fault.place.line, fault.help) for fault in caught.value.faults if fault.place] == [
        *((2 * index + 1, f'add "}}" before line {2 * index + 3}') for index in range(299)),
        (599, 'add "}" at the end'),
    ]


def test_what_only_follows_from_a_forgotten_brace_is_told_once() -> None:
    layers = "layer { relu_param { negative_slope: 1 } " + 'layer { name: "b" nam: "c" } ' * 3
    with pytest.raises(PrototxtError) as caught:
        loads(layers, NetParameter)
    assert [fault.message for fault in caught.value.faults] == [
        '"{" of layer is never closed',
        'unknown field "layer" in layer',
        'unknown field "nam" in layer',
        'unknown field "nam" in layer',
        'unknown field "nam" in layer',
    ]
    with pytest.raises(PrototxtError) as caught:
        loads("layer { relu_param { top: 'x' bottom: 'y' } }", NetParameter)
    assert len(caught.value.faults) == 2


def test_without_indentation_the_brace_that_was_opened_is_named() -> None:
    assert told("layer {\nrelu_param {\nnegative_slope: 1\n}") == (
        'net.prototxt:1:7: "{" of layer is never closed\n    layer {\n          ^\n  help: add "}" at the end'
    )


WARNED = [
    ("layer { phase: test }", "test is read as TEST", "write phase: TEST", "layer { phase: TEST }"),
    ("force_backward: TRUE", "TRUE is read as true", "write force_backward: true", "force_backward: true"),
    ("force_backward: F", "F is read as false", "write force_backward: false", "force_backward: false"),
    ('name: "x" name: "x"', 'name is given twice: "x" in line 1 and "x" here', "keep the one you mean", 'name: "x"'),
    (
        "layer { relu_param { } relu_param { } }",
        "relu_param is given twice, with the same content (first in line 1)",
        "put it all into one relu_param",
        "layer { relu_param { } }",
    ),
    ('name: "x" // why', '"//" does not begin a comment in Caffe', 'begin comments with "#"', 'name: "x"'),
    (
        '// a\n// b\nname: "x"',
        '"//" does not begin a comment in Caffe (2 lines)',
        'begin comments with "#"',
        'name: "x"',
    ),
    (
        r'name: "C:\data"',
        r"\d is no escape and is read as it stands",
        r"write \\ for a backslash, and / in paths",
        r'name: "C:\\data"',
    ),
    (r'name: "\?"', r"\? is read as ?", "write ? alone", 'name: "?"'),
    (
        "layer { loss_weight: 1e39 }",
        "1e39 is too large for loss_weight and is read as infinite",
        "32-bit numbers end at 3.4e38",
        "layer { loss_weight: inf }",
    ),
    (
        "layer { loss_weight: -1e999 }",
        "-1e999 is too large for loss_weight and is read as infinite",
        "32-bit numbers end at 3.4e38",
        "layer { loss_weight: -inf }",
    ),
    (
        "layer { blobs { double_data: 1e309 } }",
        "1e309 is too large for double_data and is read as infinite",
        "64-bit numbers end at 1.8e308",
        "layer { blobs { double_data: inf } }",
    ),
]


@pytest.mark.parametrize(("text", "message", "help", "meaning"), WARNED)
def test_harmless_irregularity_is_read_with_a_warning(text: str, message: str, help: str, meaning: str) -> None:
    loaded = loads(text, NetParameter)
    assert loaded.message == loads(meaning, NetParameter).message
    assert [(fault.message, fault.help, fault.severity) for fault in loaded.warnings] == [(message, help, "warning")]


@pytest.mark.parametrize("text", [case[0] for case in WARNED])
def test_strict_takes_warnings_for_errors(text: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        loads(text, NetParameter, strict=True)
    assert [fault.severity for fault in caught.value.faults] == ["error"]


def test_a_net_given_as_a_solver_is_told_once() -> None:
    text = 'name: "n"\nlayer { name: "a" }\nlayer { name: "b" }'
    assert one_line(text, SolverParameter) == (
        "this describes a net, and a solver was expected",
        'a solver names its net: net: "train_test.prototxt"',
    )


def test_a_solver_given_as_a_net_is_told_once() -> None:
    assert one_line('net: "n.prototxt" base_lr: 0.1 max_iter: 5 debug_info: true') == (
        "this describes a solver, and a net was expected",
        "a net is made of layer { … } blocks; a solver file names it in net",
    )


def test_a_label_map_given_as_a_net_is_told_once() -> None:
    assert one_line('item { name: "cat" label: 1 display_name: "cat" } item { name: "dog" label: 2 }') == (
        "this describes a label map, and a net was expected",
        "a net is made of layer { … } blocks; a solver file names it in net",
    )


def test_a_thousand_faults_are_listed_and_the_rest_is_counted_however_many_warnings_there_are() -> None:
    text = "force_backward: TRUE\n" * 1500 + "".join(f"strange_{number}: 1\n" for number in range(1200))
    with pytest.raises(PrototxtError) as caught:
        loads(text, NetParameter)
    errors = [fault for fault in caught.value.faults if fault.severity == "error"]
    assert [fault.message for fault in errors[:2]] == [
        f'unknown field "strange_{number}" in a net' for number in (0, 1)
    ]
    assert len(errors) == 1001
    assert errors[-1].message == "there are 200 more that are not listed"


def test_a_large_file_that_is_no_prototxt_is_refused_in_no_time() -> None:
    text = "".join(f"num_output_{number}: 1 num_output: 3\n" for number in range(40_000))
    before = process_time()
    with pytest.raises(PrototxtError):
        loads(text, NetParameter)
    assert process_time() - before < 20  # one look at every field for each of them would take minutes


@pytest.mark.parametrize(
    "text",
    [
        f"input_dim: 0x{'f' * 9999}",
        f"layer {{ phase: {'X' * 9999} }}",
        f"layer {{ phase: {'9' * 3000} }}",
        f"layer {{ loss_weight: {'1' * 999} }}",
        f"force_backward: true force_backward: {'1' * 9999}",
        f"layer: {'9' * 9999}",
    ],
)
def test_a_long_value_is_cut_off_in_the_message(text: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        loads(text, NetParameter, strict=True)
    assert len(str(caught.value)) < 1000


def test_bytes_that_are_no_text_are_told_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'name: "x"\n\xff\xfe')
    with pytest.raises(PrototxtError, match=r"2:1: the byte 0xFF is no text in UTF-8\n(.*\n)*  help: save the file in"):
        load(path, NetParameter)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(PrototxtError, match="the file cannot be read"):
        load(name, NetParameter)
