"""Layer types that mean different things in different forks: which meaning a layer gets, and what a doubt says."""

from __future__ import annotations

import pytest

from caffelite import dialects, prototxt
from caffelite.errors import UpgradeError
from caffelite.layerkit import kind_of
from caffelite.proto import NetParameter
from caffelite.upgrade import upgrade_net

UNBUILT = {"softmax_param.normalize_type"}
"""Signs that the schema lacks, so that a file with them is refused before."""


def layer(kind: str, settings: str = "", bottoms: int = 1, name: str = "l") -> str:
    blobs = " ".join(f'bottom: "b{at}"' for at in range(bottoms))
    return f'layer {{ name: "{name}" type: "{kind}" {blobs} top: "{name}" {settings} }}\n'


def bn(settings: str = "", params: int = 0, name: str = "l") -> str:
    return layer("BN", "param { lr_mult: 1 } " * params + settings, name=name)


def meant(text: str) -> list[str]:
    """The dialects that a net's layers get."""
    message = prototxt.loads(text, NetParameter).message
    return [layer.dialect for layer in upgrade_net(message).message.layer]


def doubted(text: str) -> str:
    """What is said of a net whose layers cannot be told apart."""
    read = prototxt.loads(text, NetParameter)
    with pytest.raises(UpgradeError) as raised:
        upgrade_net(read.message, read.places)
    return str(raised.value)


@pytest.mark.parametrize(
    ("settings", "fork"),
    [
        ("bn_param { slope_filler { value: 1 } }", "PSPNet"),
        ("bn_param { bias_filler { value: 1 } }", "PSPNet"),
        ("bn_param { frozen: true }", "PSPNet"),
        ("bn_param { momentum: 0.9 }", "PSPNet"),
        ("bn_param { eps: 1e-5 }", "PSPNet"),
        ("bn_param { engine: CUDNN }", "PSPNet"),
        ("bn_param { slope_filler { value: 1 } moving_average: true }", "PSPNet"),
        ("bn_param { scale_filler { value: 1 } }", "SegNet"),
        ("bn_param { shift_filler { value: 1 } }", "SegNet"),
        ("bn_param { bn_mode: INFERENCE }", "SegNet"),
        ("bn_param { moving_average: true }", "ChenglongChen"),
        ("bn_param { scale_filler { value: 1 } moving_average: true }", "ChenglongChen"),
        ("bn_param { scale_filler { value: 1 } shift_filler { value: 0 } decay: 0.9 }", "ChenglongChen"),
        ("bn_param { var_eps: 1e-9 }", "ChenglongChen"),
        ('dialect: "PSPNet"', "PSPNet"),
        ('dialect: "SegNet" bn_param { eps: 1e-5 }', "SegNet"),
    ],
)
def test_fields_tell_which_bn_is_meant(settings: str, fork: str) -> None:
    assert meant(bn(settings)) == [fork]


@pytest.mark.parametrize(
    ("settings", "bottoms", "fork"),
    [
        ("", 1, "YOLO"),
        ("upsample_param { scale: 2 }", 1, "YOLO"),
        ("", 2, "SegNet"),
        ("upsample_param { scale: 2 }", 2, "SegNet"),
        ("upsample_param { upsample_h: 45 upsample_w: 60 }", 2, "SegNet"),
    ],
)
def test_bottoms_tell_which_upsample_is_meant(settings: str, bottoms: int, fork: str) -> None:
    assert meant(layer("Upsample", settings, bottoms)) == [fork]


def test_a_layer_that_says_nothing_means_what_the_others_of_the_file_mean() -> None:
    frozen = bn("bn_param { frozen: true }", 2, "a")
    assert meant(frozen + bn(name="b") + bn(params=2, name="c")) == ["PSPNet"] * 3
    scaled = bn("bn_param { scale_filler { value: 1 } }", 2, "a")
    assert meant(bn(name="b") + scaled + bn(params=2, name="c")) == ["SegNet"] * 3


def test_a_layer_with_more_weights_than_the_others_of_the_file_have_means_something_else() -> None:
    scaled = bn("bn_param { scale_filler { value: 1 } }", 2, "a")
    assert "nothing here tells which" in doubted(scaled + bn(params=4, name="b"))


def test_layers_of_one_file_may_mean_different_things() -> None:
    assert meant(bn("bn_param { eps: 1e-5 }", name="a") + bn("bn_param { bn_mode: LEARN }", name="b")) == [
        "PSPNet",
        "SegNet",
    ]


def test_a_doubt_shows_every_meaning_and_what_to_write() -> None:
    told = doubted(bn(params=2))
    assert told.startswith('1:19: layer "l" (BN): BN means different things in different forks, and nothing here tells')
    for reading in dialects.readings("BN"):
        assert f"{reading.fork}: {reading.meaning}" in told
    assert 'help: write dialect: "PSPNet" (or SegNet, ChenglongChen) in the layer' in told


def test_four_weights_leave_two_meanings() -> None:
    told = doubted(bn(params=4))
    assert 'help: write dialect: "PSPNet" (or ChenglongChen) in the layer' in told


def test_settings_of_several_forks_are_a_contradiction() -> None:
    told = doubted(bn("bn_param { slope_filler { value: 1 } bn_mode: LEARN }"))
    assert "has settings of different forks (PSPNet, SegNet): PSPNet: batch normalization with 4 weights" in told


def test_every_doubt_of_a_file_is_told() -> None:
    assert doubted(bn(name="a") + bn(name="b")).count("nothing here tells which") == 2


def test_a_dialect_that_nobody_speaks() -> None:
    told = doubted(bn('dialect: "SegNett"'))
    assert 'layer "l" (BN): no fork is known by the name "SegNett" that has a layer type BN' in told
    assert "SegNet" in told.splitlines()[-1]
    assert "help: known: PSPNet, SegNet, ChenglongChen" in doubted(bn('dialect: "x"'))


def test_v1_layers_get_it_too() -> None:
    text = 'layers { name: "l" type: BN bottom: "b" top: "b" bn_param { bn_mode: INFERENCE } }'
    assert meant(text) == ["SegNet"]


def test_a_net_without_such_types_is_left_alone() -> None:
    message = prototxt.loads(layer("ReLU"), NetParameter).message
    assert upgrade_net(message).message is message


def test_the_message_given_is_left_as_it_was() -> None:
    message = prototxt.loads(bn("bn_param { eps: 1e-5 }"), NetParameter).message
    before = message.SerializeToString()
    upgrade_net(message)
    assert message.SerializeToString() == before


@pytest.mark.parametrize("kind", sorted(dialects.ambiguous()))
def test_every_reading_is_built_and_its_signs_are_fields(kind: str) -> None:
    for reading in dialects.readings(kind):
        message = prototxt.loads(layer(kind, f'dialect: "{reading.fork}"'), NetParameter).message
        built = kind_of(message.layer[0])
        assert built is not None, reading.fork
        assert (built.type, built.dialect) == (kind, reading.fork)
        for path in {*reading.signs, *reading.shares} - UNBUILT:
            holder = message.layer[0].DESCRIPTOR
            for name in path.split("."):
                assert name in holder.fields_by_name, path
                holder = holder.fields_by_name[name].message_type
