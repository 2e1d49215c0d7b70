"""What the original refuses and old files contain all the same: read as it is meant, with a warning."""

from __future__ import annotations

import pytest

from caffelite import proto, prototxt
from caffelite.assembly import NetFile, build_graph
from caffelite.errors import PrototxtError, UpgradeError
from caffelite.graph import state_of
from caffelite.upgrade import upgrade_net
from caffelite.upgrade.text import upgrade_loaded, upgraded_text

TEST = proto.TEST
MIXED = """\
input: "x" input_dim: [2, 3]
layer { name: "a" type: "TanH" bottom: "x" top: "a" }  # today's
layers {
  name: "b" type: CONVOLUTION bottom: "a" top: "b" blobs_lr: [1, 2]
  convolution_param { num_output: 1 kernel_size: 1 }
}
layer { name: "c" type: "ReLU" bottom: "b" top: "c" relu_param { negative_slope: 0.5 } }
layers { name: "d" type: ABSVAL bottom: "c" top: "d" }
""".replace("[2, 3]", "[1, 1, 4, 4]")


def read(text: str) -> tuple[prototxt.Loaded, list[str]]:
    """A net that was read and upgraded, and what was told of it."""
    loaded = prototxt.loads(text, proto.NetParameter, "n")
    upgraded = upgrade_net(loaded.message, loaded.places)
    told = [f"{fault.severity}: {fault.message}" for fault in (*loaded.warnings, *upgraded.notes)]
    return prototxt.Loaded(upgraded.message, [], upgraded.places, loaded.document), told


def graph(text: str):
    """The graph of a net in TEST."""
    loaded, _ = read(text)
    return build_graph(NetFile(loaded.message, loaded.places), state_of(loaded.message, TEST, 0, []))


def test_both_forms_in_one_text_are_read_in_its_order() -> None:
    loaded, told = read(MIXED)
    net = loaded.message
    assert [layer.name for layer in net.layer] == ["input", "a", "b", "c", "d"]
    assert [layer.type for layer in net.layer] == ["Input", "TanH", "Convolution", "ReLU", "AbsVal"]
    assert [param.lr_mult for param in net.layer[2].param] == [1, 2]
    assert any(note.startswith("warning: 2 layers written as `layer`") and "in the order" in note for note in told)
    paths = ["layer[1].type", "layer[2].param[1].lr_mult", "layer[3].relu_param.negative_slope", "layer[4].name"]
    places = [loaded.places(path) for path in paths]
    assert [(place.line, place.column) for place in places if place] == [(2, 19), (4, 66), (7, 66), (8, 10)]
    assert [node.name for node in graph(MIXED).nodes] == ["input", "a", "b", "c", "d"]


def test_an_upgrade_writes_both_forms_as_one() -> None:
    loaded = prototxt.loads(MIXED, proto.NetParameter)
    text = upgraded_text(loaded, upgrade_loaded(loaded))
    assert prototxt.loads(text, proto.NetParameter).message == read(MIXED)[0].message
    assert 'layer { name: "a" type: "TanH" bottom: "x" top: "a" }  # today\'s\n' in text


def test_without_a_text_and_with_v0_layers_both_forms_are_refused() -> None:
    loaded = prototxt.loads(MIXED, proto.NetParameter)
    with pytest.raises(UpgradeError, match="2 layers written as `layer` in a net that has 2 layers written as"):
        upgrade_net(loaded.message)
    v0 = 'layers { layer { name: "a" type: "relu" } bottom: "x" top: "a" } layer { name: "b" type: "ReLU" }'
    with pytest.raises(UpgradeError, match="1 layer written as `layer`"):
        read(v0)


@pytest.mark.parametrize(
    ("written", "type", "name"),
    [
        ('"CONVOLUTION"', "Convolution", "CONVOLUTION"),
        ('"InnerProduct"', "InnerProduct", "INNER_PRODUCT"),
        ("Softmax", "Softmax", "SOFTMAX"),
        ("'SoftmaxWithLoss'", "SoftmaxWithLoss", "SOFTMAX_LOSS"),
        ("hdf5data", "HDF5Data", "HDF5_DATA"),
    ],
)
def test_layers_with_quoted_types_and_those_of_today(written: str, type: str, name: str) -> None:
    loaded, told = read(f"layers {{ type: {written} }}")
    assert loaded.message.layer[0].type == type
    assert f"warning: {written} is read as {name}" in told


def test_types_that_layers_do_not_have_are_told() -> None:
    with pytest.raises(PrototxtError, match=r'layers \{ … \} have no type "Reshape".*\n.*\n.*\n.*write layer \{ … \}'):
        read('layers { type: "Reshape" }')
    with pytest.raises(PrototxtError, match="unknown value CONVOLUTE for type"):
        read("layers { type: CONVOLUTE }")


INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }'


def test_input_dim_beside_layers() -> None:
    text = 'layers { name: "a" type: RELU bottom: "x" top: "y" } input: "x" input_dim: 1 input_dim: 2 input_dim: 3'
    made = graph(text + " input_dim: 4")
    assert [(node.name, node.type) for node in made.nodes] == [("input", "Input"), ("a", "ReLU")]
    assert [value.shape for value in made.values] == [(1, 2, 3, 4)] * 2


def test_nets_and_layers_without_a_name() -> None:
    text = INPUT.replace('name: "x" ', "") + ' layer { type: "ReLU" bottom: "x" top: "y" }'
    made = graph(text + ' layer { type: "TanH" bottom: "y" top: "z" }')
    assert (made.name, [node.name for node in made.nodes]) == ("", ["", "", ""])


def test_layers_may_have_one_name() -> None:
    """As in the original (recorded in net_errors/duplicate_layer_name)."""
    layer = 'layer { name: "a" type: "InnerProduct" bottom: "%s" top: "%s" inner_product_param { num_output: 4 } }'
    made = graph(INPUT + layer % ("x", "y") + layer % ("y", "z"))
    assert [node.name for node in made.nodes] == ["x", "a", "a"]
    assert len(made.weights) == 4


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r\n\t\t"])
def test_line_ends_tabs_and_letters_of_any_language(end: str) -> None:
    text = end.join(['name:\t"Netz für Größen 网络"', 'layer {\tname: "é"', '\ttype: "ReLU" # 注释', "}", "// fin"])
    loaded, told = read(text)
    assert (loaded.message.name, loaded.message.layer[0].name) == ("Netz für Größen 网络", "é")
    assert told == ['warning: "//" does not begin a comment in Caffe']


def test_a_field_given_twice_and_names_in_another_case() -> None:
    text = 'layer { name: "p" name: "p" type: "Pooling" pooling_param { pool: Max kernel_size: 2 } %s }'
    text %= "include: { phase: test }"
    loaded, told = read(text)
    assert loaded.message.layer[0].include[0].phase == TEST
    assert [note.partition(": ")[0] for note in told] == ["warning"] * 3
    with pytest.raises(PrototxtError, match="name is given twice"):
        read('layer { name: "p" name: "q" }')


@pytest.mark.parametrize("text", ["device_id: [2, 3]", "device_id: [2]", "device_id: [2, 3] device_id: [2]"])
def test_of_several_gpus_the_first_is_taken(text: str) -> None:
    loaded = prototxt.loads(text, proto.SolverParameter)
    assert loaded.message.device_id == 2
    assert "more than one device_id has no effect here; it comes from yjxiong/caffe" in loaded.warnings[0].message


@pytest.mark.parametrize("field", ["stepearly: 1", "plateau_winsize: [10, 20]", "larc_turbo: true", "engine: 'MKLDNN'"])
def test_settings_of_forks_that_are_not_built_are_told_with_their_owner(field: str) -> None:
    if field.startswith("engine"):
        (note,) = prototxt.loads(field, proto.SolverParameter).warnings
        assert (note.severity, note.code) == ("note", "CL101")
        return
    with pytest.raises(PrototxtError, match=r"in a solver is not built here; it comes from .*/.*caffe"):
        prototxt.loads(field, proto.SolverParameter)
