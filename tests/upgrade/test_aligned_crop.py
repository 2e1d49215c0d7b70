"""Crops that find out themselves where to cut.

The offsets of FCN-8s are those that its authors wrote down when Crop got settings for them: 5, 9 and 31
(voc-fcn8s/train.prototxt of shelhamer/fcn.berkeleyvision.org).
"""

from __future__ import annotations

from typing import Any

import pytest

from caffelite import prototxt
from caffelite.errors import UpgradeError
from caffelite.proto import NetParameter
from caffelite.upgrade import upgrade_net


def conv(name: str, bottom: str, settings: str, kind: str = "CONVOLUTION") -> str:
    return (
        f'layers {{ name: "{name}" type: {kind} bottom: "{bottom}" top: "{name}" '
        f"convolution_param {{ num_output: 1 {settings} }} }}\n"
    )


def pool(name: str, bottom: str) -> str:
    return (
        f'layers {{ name: "{name}" type: POOLING bottom: "{bottom}" top: "{name}" '
        "pooling_param { kernel_size: 2 stride: 2 } }\n"
    )


def crop(first: str, second: str, name: str = "crop") -> str:
    return f'layers {{ name: "{name}" type: CROP bottom: "{first}" bottom: "{second}" top: "{name}" }}\n'


def deconv(name: str, bottom: str, settings: str) -> str:
    return conv(name, bottom, settings, "DECONVOLUTION")


def upgraded(text: str) -> Any:
    read = prototxt.loads('input: "data"\n' + text, NetParameter)
    return upgrade_net(read.message, read.places).message


def offsets(text: str) -> list[list[int]]:
    return [list(layer.crop_param.offset) for layer in upgraded(text).layer if layer.type == "Crop"]


def refused(text: str) -> str:
    with pytest.raises(UpgradeError) as raised:
        upgraded(text)
    return str(raised.value)


FCN_8S = (
    conv("conv1", "data", "kernel_size: 3 pad: 100")
    + 'layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }\n'
    + conv("conv1_2", "conv1", "kernel_size: 3 pad: 1")
    + pool("pool1", "conv1_2")
    + pool("pool2", "pool1")
    + pool("pool3", "pool2")
    + pool("pool4", "pool3")
    + pool("pool5", "pool4")
    + conv("fc6", "pool5", "kernel_size: 7")
    + 'layers { name: "drop6" type: DROPOUT bottom: "fc6" top: "fc6" }\n'
    + conv("score", "fc6", "kernel_size: 1")
    + deconv("score2", "score", "kernel_size: 4 stride: 2")
    + conv("score-pool4", "pool4", "kernel_size: 1")
    + crop("score-pool4", "score2", "score-pool4c")
    + 'layers { name: "fuse" type: ELTWISE bottom: "score2" bottom: "score-pool4c" top: "fused" }\n'
    + deconv("score4", "fused", "kernel_size: 4 stride: 2")
    + conv("score-pool3", "pool3", "kernel_size: 1")
    + crop("score-pool3", "score4", "score-pool3c")
    + 'layers { name: "fuse2" type: ELTWISE bottom: "score4" bottom: "score-pool3c" top: "final" }\n'
    + deconv("bigscore", "final", "kernel_size: 16 stride: 8")
    + crop("bigscore", "data", "upscore")
)


def test_fcn_8s() -> None:
    net = upgraded(FCN_8S)
    crops = [layer for layer in net.layer if layer.type == "Crop"]
    assert [list(layer.crop_param.offset) for layer in crops] == [[5, 5], [9, 9], [31, 31]]
    assert {layer.crop_param.axis for layer in crops} == {2}
    assert not any(layer.dialect for layer in crops)


def test_rows_and_columns_are_aligned_by_themselves() -> None:
    # A convolution of 3×5 with padding 4×3 moves its top by (3 − 1)/2 − 4 = −3 rows and (5 − 1)/2 − 3 = −1 columns.
    wide = conv("c", "data", "kernel_h: 3 kernel_w: 5 pad_h: 4 pad_w: 3")
    assert offsets(wide + crop("c", "data")) == [[3, 1]]


def test_through_an_earlier_crop() -> None:
    # The first crop takes 3 positions off, so that of the 4 that padding added there is one to go.
    first = conv("c", "data", "kernel_size: 3 pad: 5") + conv("s", "data", "kernel_size: 3")
    assert offsets(first + crop("c", "s", "one") + crop("one", "s", "two")) == [[5, 5], [0, 0]]


def test_unpooling_goes_the_other_way_than_pooling() -> None:
    text = conv("c", "data", "kernel_size: 1 pad: 2") + pool("p", "c")
    text += (
        'layers { name: "u" type: UNPOOLING bottom: "p" top: "u" '
        "unpooling_param { kernel_size: 2 stride: 2 unpool_size: 8 } }\n"
    )
    assert offsets(text + crop("u", "data")) == [[2, 2]]


def test_todays_crop_asks_for_it_by_its_dialect() -> None:
    text = conv("c", "data", "kernel_size: 3 pad: 5")
    net = upgraded(text).layer
    shown = "".join(f"layer {{ {layer} }}" for layer in net) + (
        'layer { name: "crop" type: "Crop" bottom: "c" bottom: "data" top: "y" dialect: "longjon" }'
    )
    read = prototxt.loads(shown, NetParameter)
    assert list(upgrade_net(read.message).message.layer[-1].crop_param.offset) == [4, 4]


def test_todays_crop_is_left_alone() -> None:
    text = 'layer { name: "crop" type: "Crop" bottom: "a" bottom: "b" top: "y" crop_param { offset: 3 } }'
    message = prototxt.loads(text, NetParameter).message
    assert upgrade_net(message).message is message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (crop("data", "other"), "its bottoms are made of nothing that they have in common"),
        (
            conv("c", "data", "kernel_size: 1 stride: 2") + crop("data", "c"),
            "the first bottom is 2 times as fine as the second in rows",
        ),
        (
            conv("c", "data", "kernel_size: 2 pad: 1") + crop("c", "data"),
            "the second bottom begins at 0.5 of the rows of the first",
        ),
        (
            conv("c", "data", "kernel_size: 3") + crop("c", "data"),
            "the second bottom begins at -1 of the rows of the first",
        ),
        (
            'layers { name: "f" type: FLATTEN bottom: "data" top: "f" }\n' + crop("f", "data"),
            'nobody knows how "f" (Flatten) moves what it gets',
        ),
        (
            'layers { name: "g" type: POOLING bottom: "data" top: "g" pooling_param { global_pooling: true } }\n'
            + crop("g", "data"),
            'the windows of "g" (Pooling) have no size',
        ),
        ('layers { name: "crop" type: CROP bottom: "data" top: "y" }', "it needs two bottoms, got 1"),
    ],
)
def test_what_cannot_be_aligned(text: str, told: str) -> None:
    assert f'layer "crop" (Crop): cannot be aligned: {told}' in refused(text)
    assert "help: write crop_param { axis: 2 offset: … }, where the second bottom begins in the first" in refused(text)
