"""V1 layers: every enum value, every field, old data settings."""

from __future__ import annotations

import pytest

from caffelite import proto
from caffelite.errors import UpgradeError
from caffelite.layerkit import layers
from caffelite.upgrade import upgrade_net
from caffelite.upgrade.v1 import PARAM_FIELDS
from caffelite.upgrade.v1 import TYPES as TYPES_OF_TODAY

from .nets import asked, net

# UpgradeV1LayerType of src/caffe/util/upgrade_proto.cpp
TYPES = (
    "NONE= ABSVAL=AbsVal ACCURACY=Accuracy ARGMAX=ArgMax BNLL=BNLL CONCAT=Concat CONTRASTIVE_LOSS=ContrastiveLoss"
    " CONVOLUTION=Convolution DECONVOLUTION=Deconvolution DATA=Data DROPOUT=Dropout DUMMY_DATA=DummyData"
    " EUCLIDEAN_LOSS=EuclideanLoss ELTWISE=Eltwise EXP=Exp FLATTEN=Flatten HDF5_DATA=HDF5Data HDF5_OUTPUT=HDF5Output"
    " HINGE_LOSS=HingeLoss IM2COL=Im2col IMAGE_DATA=ImageData INFOGAIN_LOSS=InfogainLoss INNER_PRODUCT=InnerProduct"
    " LRN=LRN MEMORY_DATA=MemoryData MULTINOMIAL_LOGISTIC_LOSS=MultinomialLogisticLoss MVN=MVN POOLING=Pooling"
    " POWER=Power RELU=ReLU SIGMOID=Sigmoid SIGMOID_CROSS_ENTROPY_LOSS=SigmoidCrossEntropyLoss SILENCE=Silence"
    " SOFTMAX=Softmax SOFTMAX_LOSS=SoftmaxWithLoss SPLIT=Split SLICE=Slice TANH=TanH WINDOW_DATA=WindowData"
    " THRESHOLD=Threshold"
)
NEW_TYPES = dict(pair.split("=") for pair in TYPES.split())


def test_every_enum_value_has_its_name_of_today() -> None:
    assert {name for name, number in proto.V1LayerParameter.LayerType.items() if number < 5000} == set(NEW_TYPES)
    for old, new in NEW_TYPES.items():
        assert upgrade_net(net(f"layers {{ type: {old} }}")).message == net(f'layer {{ type: "{new}" }}')


def test_every_value_of_a_fork_has_its_name_of_today() -> None:
    forks = [name for name, number in proto.V1LayerParameter.LayerType.items() if number >= 5000]
    built = {name.partition("@")[0] for name in layers}
    assert {name: TYPES_OF_TODAY.get(name) for name in forks if TYPES_OF_TODAY.get(name) not in built} == {}
    assert set(TYPES_OF_TODAY) == {*forks, *NEW_TYPES}


def test_every_field_of_the_schema_arrives_under_its_name() -> None:
    special = {"type", "layer", *PARAM_FIELDS}
    for field in proto.V1LayerParameter.DESCRIPTOR.fields:
        if field.name not in special:
            old, new = proto.NetParameter(), proto.NetParameter()
            for layer in (old.layers.add(), new.layer.add()):
                current = getattr(layer, field.name)
                if field.message_type is not None:
                    (current.add() if hasattr(current, "add") else current).SetInParent()
                elif hasattr(current, "append"):
                    current.append("x" if field.name in ("bottom", "top") else 1)
                else:
                    setattr(layer, field.name, "x")
            upgraded = upgrade_net(old, asked)
            assert upgraded.message == new
            assert str(upgraded.places(f"layer[0].{field.name}")) == f"layers[0].{field.name}"


def test_lists_for_the_weights_become_one_param_each() -> None:
    old = net(
        'layers { blobs_lr: 1 blobs_lr: 2 weight_decay: 0 param: "w" param: "" param: "v" blob_share_mode: PERMISSIVE }'
    )
    upgraded = upgrade_net(old, asked)
    assert upgraded.message == net(
        'layer { param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0 }'
        ' param { name: "" lr_mult: 2 } param { name: "v" } }'
    )
    found = [str(upgraded.places(f"layer[0].param[{path}")) for path in ("1].lr_mult", "2].name", "0].share_mode")]
    assert found == ["layers[0].blobs_lr[1]", "layers[0].param[2]", "layers[0].blob_share_mode[0]"]


def test_both_forms_in_one_net_are_refused() -> None:
    with pytest.raises(
        UpgradeError, match=r"layer\[0\]: 1 layer written as `layer` in a net that has 2 layers"
    ) as caught:
        upgrade_net(net("layers { type: RELU } layers { type: RELU } layer { }"), asked)
    assert "caffelite upgrade" in str(caught.value)


HOLDERS = [
    ("DATA", "Data", "data"),
    ("IMAGE_DATA", "ImageData", "image_data"),
    ("WINDOW_DATA", "WindowData", "window_data"),
]
SETTINGS = [("scale", "0.5"), ("mean_file", '"m"'), ("crop_size", "3"), ("mirror", "true")]


@pytest.mark.parametrize(("old_type", "new_type", "holder"), HOLDERS)
@pytest.mark.parametrize(("field", "value"), SETTINGS)
def test_old_data_settings_move(old_type: str, new_type: str, holder: str, field: str, value: str) -> None:
    text = 'layers { name: "a" type: %s %s_param { source: "s" %s: %s } transform_param { mirror: false } }'
    upgraded = upgrade_net(net(text % (old_type, holder, field, value)), asked)
    mirror = "" if field == "mirror" else "mirror: false"
    text = 'layer { name: "a" type: "%s" %s_param { source: "s" } transform_param { %s %s: %s } }'
    assert upgraded.message == net(text % (new_type, holder, mirror, field, value))
    old = f"layers[0].{holder}_param.{field}"
    assert str(upgraded.places(f"layer[0].transform_param.{field}")) == old
    assert any(note.place is not None and note.place.file == old for note in upgraded.notes)


def test_one_old_data_setting_leaves_empty_messages_in_all_data_layers() -> None:
    """CONVERT_LAYER_TRANSFORM_PARAM makes both messages mutable, that is present, before it looks for old fields."""
    old = net("layers { type: DATA data_param { scale: 2 } } layers { type: IMAGE_DATA } layers { type: RELU }")
    assert upgrade_net(old).message == net(
        'layer { type: "Data" transform_param { scale: 2 } data_param { } }'
        'layer { type: "ImageData" transform_param { } image_data_param { } } layer { type: "ReLU" }'
    )


@pytest.mark.parametrize(("_old", "new_type", "holder"), HOLDERS)
def test_in_todays_layers_old_data_settings_are_left_with_a_warning(_old: str, new_type: str, holder: str) -> None:
    settings = " ".join(f"{field}: {value}" for field, value in SETTINGS)
    new = net(f'layer {{ name: "a" type: "{new_type}" {holder}_param {{ {settings} }} }}')
    upgraded = upgrade_net(new, asked)
    assert upgraded.message is new
    warned = [note.place.file.rpartition(".")[2] for note in upgraded.notes if note.place and note.place.file]
    read_all_the_same = {"scale"} if new_type == "WindowData" else set()
    assert warned == [field for field, _ in SETTINGS if field not in read_all_the_same]
