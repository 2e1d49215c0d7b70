"""V0 layers: every field, every type, and what cannot be read."""

from __future__ import annotations

import pytest

from caffelite import proto
from caffelite.errors import UpgradeError
from caffelite.upgrade import upgrade_net
from caffelite.upgrade.v0 import ANY, CARRIED, SETTINGS, TYPES

from .nets import asked, net

FIELDS = proto.V0LayerParameter.DESCRIPTOR.fields_by_name

# Read off UpgradeV0LayerParameter of src/caffe/util/upgrade_proto.cpp: field, value → (types, settings in the new net)
EXPECTED = {
    "num_output": (
        "7",
        {"conv": "convolution_param { num_output: 7 }", "innerproduct": "inner_product_param { num_output: 7 }"},
    ),
    "biasterm": (
        "false",
        {"conv": "convolution_param { bias_term: false }", "innerproduct": "inner_product_param { bias_term: false }"},
    ),
    "weight_filler": (
        '{ type: "xavier" }',
        {
            "conv": 'convolution_param { weight_filler { type: "xavier" } }',
            "innerproduct": 'inner_product_param { weight_filler { type: "xavier" } }',
        },
    ),
    "bias_filler": (
        "{ value: 2 }",
        {
            "conv": "convolution_param { bias_filler { value: 2 } }",
            "innerproduct": "inner_product_param { bias_filler { value: 2 } }",
        },
    ),
    "pad": ("2", {"conv": "convolution_param { pad: 2 }", "pool": "pooling_param { pad: 2 }"}),
    "kernelsize": ("3", {"conv": "convolution_param { kernel_size: 3 }", "pool": "pooling_param { kernel_size: 3 }"}),
    "group": ("2", {"conv": "convolution_param { group: 2 }"}),
    "stride": ("2", {"conv": "convolution_param { stride: 2 }", "pool": "pooling_param { stride: 2 }"}),
    "pool": ("STOCHASTIC", {"pool": "pooling_param { pool: STOCHASTIC }"}),
    "dropout_ratio": ("0.3", {"dropout": "dropout_param { dropout_ratio: 0.3 }"}),
    "local_size": ("3", {"lrn": "lrn_param { local_size: 3 }"}),
    "alpha": ("0.5", {"lrn": "lrn_param { alpha: 0.5 }"}),
    "beta": ("0.5", {"lrn": "lrn_param { beta: 0.5 }"}),
    "k": ("2", {"lrn": "lrn_param { k: 2 }"}),
    "source": (
        '"s"',
        {
            "data": 'data_param { source: "s" }',
            "hdf5_data": 'hdf5_data_param { source: "s" }',
            "images": 'image_data_param { source: "s" }',
            "window_data": 'window_data_param { source: "s" }',
            "infogain_loss": 'infogain_loss_param { source: "s" }',
        },
    ),
    "scale": ("0.5", dict.fromkeys(TYPES, "transform_param { scale: 0.5 }")),
    "meanfile": ('"m"', dict.fromkeys(TYPES, 'transform_param { mean_file: "m" }')),
    "cropsize": ("9", dict.fromkeys(TYPES, "transform_param { crop_size: 9 }")),
    "mirror": ("true", dict.fromkeys(TYPES, "transform_param { mirror: true }")),
    "batchsize": (
        "4",
        {
            "data": "data_param { batch_size: 4 }",
            "hdf5_data": "hdf5_data_param { batch_size: 4 }",
            "images": "image_data_param { batch_size: 4 }",
            "window_data": "window_data_param { batch_size: 4 }",
        },
    ),
    "rand_skip": ("5", {"data": "data_param { rand_skip: 5 }", "images": "image_data_param { rand_skip: 5 }"}),
    "shuffle_images": ("true", {"images": "image_data_param { shuffle: true }"}),
    "new_num": ("1", {}),
    "new_channels": ("1", {}),
    "new_height": ("8", {"images": "image_data_param { new_height: 8 }"}),
    "new_width": ("8", {"images": "image_data_param { new_width: 8 }"}),
    "concat_dim": ("0", {"concat": "concat_param { concat_dim: 0 }"}),
    "det_fg_threshold": ("0.25", {"window_data": "window_data_param { fg_threshold: 0.25 }"}),
    "det_bg_threshold": ("0.25", {"window_data": "window_data_param { bg_threshold: 0.25 }"}),
    "det_fg_fraction": ("0.75", {"window_data": "window_data_param { fg_fraction: 0.75 }"}),
    "det_context_pad": ("16", {"window_data": "window_data_param { context_pad: 16 }"}),
    "det_crop_mode": ('"square"', {"window_data": 'window_data_param { crop_mode: "square" }'}),
    "hdf5_output_param": ('{ file_name: "f" }', {"hdf5_output": 'hdf5_output_param { file_name: "f" }'}),
}

NEW_TYPES = {
    "accuracy": "Accuracy",
    "bnll": "BNLL",
    "concat": "Concat",
    "conv": "Convolution",
    "data": "Data",
    "dropout": "Dropout",
    "euclidean_loss": "EuclideanLoss",
    "flatten": "Flatten",
    "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output",
    "im2col": "Im2col",
    "images": "ImageData",
    "infogain_loss": "InfogainLoss",
    "innerproduct": "InnerProduct",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "pool": "Pooling",
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss",
    "split": "Split",
    "tanh": "TanH",
    "window_data": "WindowData",
}


def test_every_field_of_the_schema_is_handled() -> None:
    assert set(FIELDS) == {*SETTINGS, *CARRIED, "type"} == {*EXPECTED, *CARRIED, "type"}


def test_every_type_has_its_name_of_today() -> None:
    assert set(TYPES) == set(NEW_TYPES)
    for old, new in NEW_TYPES.items():
        upgraded = upgrade_net(net(f'layers {{ layer {{ name: "a" type: "{old}" }} top: "t" }}')).message
        assert upgraded == net(f'layer {{ name: "a" type: "{new}" top: "t" }}')


@pytest.mark.parametrize("field", EXPECTED)
def test_a_field_lands_where_the_original_puts_it(field: str) -> None:
    value, targets = EXPECTED[field]
    sign = "" if value.startswith("{") else ":"
    for kind, new in NEW_TYPES.items():
        old = net(f'layers {{ layer {{ name: "a" type: "{kind}" {field}{sign} {value} }} }}')
        upgraded = upgrade_net(old, asked)
        assert upgraded.message == net(f'layer {{ name: "a" type: "{new}" {targets.get(kind, "")} }}')
        warnings = [str(note) for note in upgraded.notes if note.severity == "warning"]
        dropped = f'layers[0].layer.{field}: warning: layer "a" ({kind}): {field} has no effect'
        assert [text.startswith(dropped) for text in warnings] == ([] if kind in targets else [True])


@pytest.mark.parametrize("field", [name for name, targets in SETTINGS.items() if ANY not in targets and targets])
def test_fields_with_a_target_are_found_again_in_the_old_text(field: str) -> None:
    value, _ = EXPECTED[field]
    sign = "" if value.startswith("{") else ":"
    for kind, target in SETTINGS[field].items():
        old = net(f'layers {{ layer {{ name: "a" type: "{kind}" {field}{sign} {value} }} }}')
        places = upgrade_net(old, asked).places
        assert str(places(f"layer[0].{target}")) == f"layers[0].layer.{field}"


def test_a_repeated_target_is_found_with_and_without_its_index() -> None:
    places = upgrade_net(net('layers { layer { type: "conv" stride: 2 } }'), asked).places
    assert str(places("layer[0].convolution_param.stride[0]")) == "layers[0].layer.stride"
    assert str(places("layer[0].convolution_param.stride")) == "layers[0].layer.stride"


def test_weights_and_rates_are_carried() -> None:
    old = net(
        'layers { layer { name: "a" type: "conv" blobs { num: 1 channels: 1 height: 1 width: 1 data: 3 }'
        " blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 } }"
    )
    upgraded = upgrade_net(old, asked)
    assert upgraded.message == net(
        'layer { name: "a" type: "Convolution" param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }'
        " blobs { num: 1 channels: 1 height: 1 width: 1 data: 3 } }"
    )
    assert str(upgraded.places("layer[0].param[1].decay_mult")) == "layers[0].layer.weight_decay[1]"


PADDED = """
input: "x" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
layers { layer { name: "r" type: "relu" } bottom: "x" top: "x" }
layers { layer { name: "p" type: "padding" pad: 3 } bottom: "x" top: "p" }
layers { layer { name: "c" type: "%s" kernelsize: 3 } bottom: "p" top: "c" }
"""


@pytest.mark.parametrize(
    ("kind", "name", "holder"), [("conv", "Convolution", "convolution"), ("pool", "Pooling", "pooling")]
)
def test_padding_is_folded_into_its_reader(kind: str, name: str, holder: str) -> None:
    upgraded = upgrade_net(net(PADDED % kind), asked)
    assert (
        upgraded.message.layer[2]
        == net(
            f'layer {{ name: "c" type: "{name}" bottom: "x" top: "c" {holder}_param {{ kernel_size: 3 pad: 3 }} }}'
        ).layer[0]
    )
    assert [layer.name for layer in upgraded.message.layer] == ["input", "r", "c"]
    found = {path: str(upgraded.places(f"layer[2].{path}")) for path in ("bottom[0]", "top[0]", f"{holder}_param.pad")}
    assert found == {
        "bottom[0]": "layers[1].bottom[0]",
        "top[0]": "layers[2].top[0]",
        f"{holder}_param.pad": "layers[1].layer.pad",
    }
    assert any('padding layer "p" was folded' in note.message for note in upgraded.notes)


def test_padding_in_place_is_folded_too() -> None:
    old = net(
        'input: "x" layers { layer { type: "padding" pad: 1 } bottom: "x" top: "x" }'
        'layers { layer { type: "conv" } bottom: "x" top: "y" } layers { layer { type: "relu" } bottom: "y" top: "x" }'
        'layers { layer { type: "conv" } bottom: "x" top: "z" }'
    )
    layers = upgrade_net(old).message.layer
    assert [list(layer.convolution_param.pad) for layer in layers] == [[1], [], []]


def test_every_fault_is_told_with_its_layer() -> None:
    old = net(
        'input: "x" input_dim: 1 '
        'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }'
        'layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }'
        'layers { layer { name: "c" type: "convv" } bottom: "nobody" top: "c" }'
        'layers { layer { name: "two" type: "conv" } bottom: "p" bottom: "x" top: "t" }'
    )
    with pytest.raises(UpgradeError) as caught:
        upgrade_net(old, asked)
    told = {(fault.layer, fault.place.file) for fault in caught.value.faults if fault.place}
    assert told == {
        ("r", "layers[1].bottom[0]"),
        ("c", "layers[2].bottom[0]"),
        ("two", "layers[3].bottom[0]"),
        ("c", "layers[2].layer.type"),
        (None, "input_dim[0]"),
    }
    assert "did you mean conv?" in str(caught.value)


def test_v1_layers_among_v0_layers_are_refused() -> None:
    old = net('layers { layer { name: "a" type: "relu" } } layers { name: "b" type: RELU }')
    with pytest.raises(UpgradeError, match=r'layers\[1\]: layer "b": a V1 layer among V0 layers'):
        upgrade_net(old, asked)


def test_what_v0_nets_did_not_have_is_dropped_with_a_warning() -> None:
    old = net('debug_info: true layers { layer { name: "a" type: "relu" } loss_weight: 2 }')
    upgraded = upgrade_net(old, asked)
    assert upgraded.message == net('layer { name: "a" type: "ReLU" }')
    warnings = {note.place.file for note in upgraded.notes if note.severity == "warning" and note.place}
    assert warnings == {"debug_info", "layers[0].loss_weight"}
