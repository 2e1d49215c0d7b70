"""Second names of layer types."""

from __future__ import annotations

import pytest

from caffelite import dialects
from caffelite.layerkit import layers
from caffelite.upgrade import upgrade_net

from .nets import asked, net

CUDNN = [
    "Convolution",
    "Deconvolution",
    "DeConvolution",
    "Dropout",
    "LCN",
    "LRN",
    "Pooling",
    "ReLU",
    "ReLU6",
    "Sigmoid",
    "Softmax",
    "TanH",
]
ALIASES = [*(f"CuDNN{name}" for name in CUDNN), "SeLU", "SeLUDropout"]


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_is_a_name_of_a_type_that_is_built(name: str) -> None:
    known = dialects.alias(name)
    assert known is not None
    assert known[0] in layers
    assert name not in list(layers)


def test_layers_get_the_plain_type_and_keep_all_else() -> None:
    first = 'name: "a" type: "{}" bottom: "x" top: "y" convolution_param {{ num_output: 2 }}'
    old = f'layer {{{{ {first} }}}} layer {{{{ type: "ReLU" }}}}'
    upgraded = upgrade_net(net(old.format("CuDNNConvolution")), asked)
    assert upgraded.message == net(old.format("Convolution"))
    (note,) = upgraded.notes
    assert note.severity == "note"
    assert note.message == 'type "CuDNNConvolution" is read as Convolution: the same, computed by cuDNN'
    assert note.place == asked("layer[0].type")
    plain = net(old.format("Convolution"))
    assert upgrade_net(plain).message is plain
