"""Weights of torch modules in nets and back: both compute the same, and what does not fit is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import caffelite
from caffelite import from_state_dict, to_state_dict
from caffelite.errors import SnapshotError, UsageError
from caffelite.net.module import NetModule
from caffelite.proto import TEST, TRAIN

from ..models.references import GoogLeNet, Reference, ResNet50
from ..nets import net_of

MODELS = Path(__file__).parents[2] / "models"


def input_of(*shape: int, name: str = "x") -> str:
    dims = " ".join(f"dim: {size}" for size in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(kind: str, settings: str = "", name: str = "l", bottom: str = "x", top: str = "y") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {settings} }}\n'


def stirred(module: nn.Module) -> nn.Module:
    """With values of their own in everything that begins all alike."""
    generator = torch.Generator().manual_seed(0)
    for name, values in module.state_dict().items():
        if values.is_floating_point():
            values.copy_(torch.rand(values.shape, generator=generator) + ("var" in name))
    return module


PAIRS: dict[str, tuple[nn.Module, str, tuple[int, ...]]] = {
    "Conv2d": (
        nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2),
        layer("Convolution", "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 group: 2 }"),
        (2, 4, 7, 7),
    ),
    "Conv2d without bias": (
        nn.Conv2d(4, 6, 1, bias=False),
        layer("Convolution", "convolution_param { num_output: 6 kernel_size: 1 bias_term: false }"),
        (2, 4, 3, 3),
    ),
    "Conv3d": (
        nn.Conv3d(2, 3, 2),
        layer("Convolution", "convolution_param { num_output: 3 kernel_size: 2 }"),
        (2, 2, 3, 3, 3),
    ),
    "ConvTranspose2d": (
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        layer("Deconvolution", "convolution_param { num_output: 6 kernel_size: 3 stride: 2 group: 2 }"),
        (2, 4, 5, 5),
    ),
    "Linear": (nn.Linear(4, 3), layer("InnerProduct", "inner_product_param { num_output: 3 }"), (2, 4)),
    "Linear, transposed": (
        nn.Linear(4, 3),
        layer("InnerProduct", "inner_product_param { num_output: 3 transpose: true }"),
        (2, 4),
    ),
    "PReLU": (nn.PReLU(3), layer("PReLU"), (2, 3, 4)),
    "PReLU, one slope": (nn.PReLU(), layer("PReLU", "prelu_param { channel_shared: true }"), (2, 3, 4)),
    "Embedding": (
        nn.Embedding(5, 3),
        layer("Embed", "embed_param { input_dim: 5 num_output: 3 bias_term: false }"),
        (2, 4),
    ),
    "BatchNorm2d without weights": (nn.BatchNorm2d(3, affine=False), layer("BatchNorm"), (2, 3, 4, 4)),
}


def inputs_for(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randint(5, shape, generator=generator) if name == "Embedding" else torch.randn(shape, generator=generator)
    )


@pytest.mark.parametrize("name", PAIRS)
def test_a_module_and_its_layer_compute_the_same(name):
    torchs, text, shape = PAIRS[name]
    stirred(torchs).eval()
    module, x = NetModule(net_of(input_of(*shape) + text, TEST)), inputs_for(name, shape)
    report = from_state_dict(module, torchs.state_dict(), {"": "l"})
    torch.testing.assert_close(module(x), torchs(x))
    assert report.loaded == ("l",)
    assert report.unused == report.kept == ()
    fresh = type(torchs)(*_arguments(name))
    fresh.load_state_dict(to_state_dict(module, {"": "l"}))
    torch.testing.assert_close(fresh.eval()(x), torchs(x))


def _arguments(name: str) -> tuple[Any, ...]:
    return {
        "Conv2d": (4, 6, (3, 2), 2, 1, 1, 2),
        "Conv2d without bias": (4, 6, 1, 1, 0, 1, 1, False),
        "Conv3d": (2, 3, 2),
        "ConvTranspose2d": (4, 6, 3, 2, 0, 0, 2),
        "Embedding": (5, 3),
        "PReLU": (3,),
        "PReLU, one slope": (),
        "BatchNorm2d without weights": (3, 1e-5, 0.1, False),
    }.get(name, (4, 3))


NORM = layer("BatchNorm", name="bn", top="n") + layer("Scale", "scale_param { bias_term: true }", "s", "n")


def test_a_batch_norm_is_two_layers():
    module, torchs = NetModule(net_of(input_of(4, 3, 5, 5) + NORM, TEST)), stirred(nn.BatchNorm2d(3)).eval()
    names = {"bn": ("bn", "s")}
    from_state_dict(module, nn.ModuleDict({"bn": torchs}).state_dict(), names)
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(module(x), torchs(x))
    module.train()(x)
    module(x + 1)
    fresh = nn.ModuleDict({"bn": nn.BatchNorm2d(3)}).eval()
    fresh.load_state_dict(to_state_dict(module, names))
    torch.testing.assert_close(fresh["bn"](x), module.eval()(x))


def test_what_a_batch_norm_that_saw_nothing_knows_is_zero():
    module = NetModule(net_of(input_of(4, 3) + NORM, TEST))
    found = to_state_dict(module, {"": ("bn", "s")})
    assert found.keys() == {"running_mean", "running_var", "weight", "bias"}
    assert not found["running_mean"].any()
    assert not found["running_var"].any()


def lstm() -> NetModule:
    settings = "recurrent_param { num_output: 4 }"
    text = (
        input_of(6, 2, 3) + input_of(6, 2, name="cont") + layer("LSTM", settings).replace('"x" ', '"x" bottom: "cont" ')
    )
    return NetModule(net_of(text, TEST))


def test_an_lstm_has_its_gates_in_another_order_and_two_biases():
    module, torchs, x = lstm(), stirred(nn.LSTM(3, 4)), torch.randn(6, 2, 3)
    cont = torch.tensor([0.0, 1, 1, 1, 1, 1]).unsqueeze(1).expand(6, 2)
    from_state_dict(module, torchs.state_dict(), {"": "l"})
    torch.testing.assert_close(module(x, cont), torchs(x)[0])
    fresh = nn.LSTM(3, 4)
    fresh.load_state_dict(to_state_dict(module, {"": "l"}))
    torch.testing.assert_close(fresh(x)[0], torchs(x)[0])
    with pytest.raises(
        SnapshotError, match=r'no place for "weight_ih_l1"\n(.*\n)*.*help: one layer is an LSTM of one layer'
    ):
        from_state_dict(module, nn.LSTM(3, 4, num_layers=2).state_dict(), {"": "l"})


def test_an_rnn_has_no_counterpart():
    settings = "recurrent_param { num_output: 4 }"
    text = (
        input_of(6, 2, 3) + input_of(6, 2, name="cont") + layer("RNN", settings).replace('"x" ', '"x" bottom: "cont" ')
    )
    with pytest.raises(SnapshotError, match='has nothing for a module ""'):
        from_state_dict(net_of(text), nn.RNN(3, 4).state_dict(), {"": "l"})


def names_of(reference: Reference) -> dict[str, str | tuple[str, str]]:
    layers: dict[str, str | tuple[str, str]] = {f"layers.{name}": name for name in reference.layers}
    return layers | {f"norms.{name}": (f"bn{name}", f"scale{name}") for name in reference.norms}


@pytest.mark.parametrize("kind, folder, side", [(ResNet50, "resnet50", 96), (GoogLeNet, "googlenet", 128)])
def test_whole_nets_take_over_weights_and_give_them_back(kind, folder, side):
    torch.manual_seed(0)
    reference = kind(224 if kind is GoogLeNet else side).eval()
    for one in () if reference.norms else reference.layers.values():
        nn.init.kaiming_normal_(one.weight)
    for norm in reference.norms.values():
        nn.init.uniform_(norm.running_mean, -0.1, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    module, x = caffelite.load(MODELS / folder / "deploy.prototxt", seed=1), torch.randn(2, 3, side, side)
    names = {key: layers for key, layers in names_of(reference).items() if "loss1" not in key and "loss2" not in key}
    report = from_state_dict(module, reference.state_dict(), names)
    assert report.kept == ()
    assert all("loss" in key for key in report.unused)
    blob = list(reference.losses)[-1]
    with torch.no_grad():
        torch.testing.assert_close(module(x), reference(x)[blob].softmax(1), rtol=1e-3, atol=1e-6)
        assert module(x).log().std() > 0.05
    for key, values in to_state_dict(module, names).items():
        assert torch.equal(values, reference.state_dict()[key]), key


TWO = (
    input_of(2, 4)
    + layer("InnerProduct", "inner_product_param { num_output: 3 }", "a", top="a")
    + layer("InnerProduct", "inner_product_param { num_output: 2 bias_term: false }", "b", "a", "b")
    + layer("BatchNorm", name="bn", bottom="b", top="n")
    + layer("ReLU", name="relu", bottom="n", top="r")
    + layer("InnerProduct", "inner_product_param { num_output: 1 }", "c", "r", "c")
)


def test_all_faults_are_told_at_once_and_nothing_is_changed():
    net = net_of(TWO)
    before = [blob.data.copy() for blob in net.parameters]
    offered = {
        "one.weight": torch.zeros(4, 3),
        "one.bias": [0, 0, 0],
        "two.weight": torch.zeros(2, 3),
        "two.bias": torch.zeros(2),
        "norm.weight": torch.ones(2),
        "norm.running_mean": torch.ones(2),
        "three.weight": torch.ones(1, 2, dtype=torch.complex64),
    }
    names = {
        "one": "a",
        "two": "b",
        "norm": "bn",
        "three": "c",
        "four": "d",
        "five": "relu",
        "six": ("b", "c"),
        "thre": "aa",
    }
    with pytest.raises(SnapshotError) as caught:
        from_state_dict(net, offered, names)
    told = [
        'the net has no layer "d"',
        'layer "relu" has no weights',
        'a module is one layer, or a pair of BatchNorm and Scale, not "b" (InnerProduct) and "c" (InnerProduct)',
        'the net has no layer "aa"\n  help: did you mean a?',
        'layer "a" (InnerProduct): "one.weight" has shape (4, 3), and must have (3, 4)',
        'layer "a" (InnerProduct): "one.bias" is no tensor of real numbers but a list',
        'layer "b" (InnerProduct): has no place for "two.bias"\n  help: bias_term says whether there is one',
        'layer "bn" (BatchNorm): has no place for "norm.weight"\n'
        '  help: weight and bias are a Scale layer\'s: name both, ("bn", "…")',
        'layer "bn" (BatchNorm): the state_dict has no "norm.running_var", of shape (2,)',
        'layer "c" (InnerProduct): "three.weight" is no tensor of real numbers but a Tensor',
        'layer "c" (InnerProduct): the state_dict has no "three.bias", of shape (1,)\n  help: bias_term says whether '
        "there is one",
    ]
    assert [str(fault) for fault in caught.value.faults] == told
    assert all(np.array_equal(blob.data, values) for blob, values in zip(net.parameters, before, strict=True))


def test_a_module_that_is_not_there_is_told_with_the_nearest():
    with pytest.raises(SnapshotError, match=r'nothing for a module "fc"\n.*did you mean fc1'):
        from_state_dict(net_of(TWO), {"fc1.weight": torch.zeros(3, 4), "fc1.bias": torch.zeros(3)}, {"fc": "a"})


def test_a_layer_cannot_have_the_weights_of_two_modules():
    offered = {f"{name}.weight": torch.zeros(3, 4) for name in "pq"} | {f"{name}.bias": torch.zeros(3) for name in "pq"}
    with pytest.raises(SnapshotError, match='layer "a" is named for 2 modules'):
        from_state_dict(net_of(TWO), offered, {"p": "a", "q": "a"})


def test_layers_that_share_a_weight_must_get_one():
    shared = 'param { name: "w" } inner_product_param { num_output: 4 bias_term: false }'
    text = input_of(2, 4) + layer("InnerProduct", shared, "a", top="a") + layer("InnerProduct", shared, "b", "a", "b")
    net, values = net_of(text), torch.randn(4, 4)
    from_state_dict(net, {"p.weight": values, "q.weight": values.clone()}, {"p": "a", "q": "b"})
    assert np.array_equal(net.params["a"][0].data, values)
    with pytest.raises(SnapshotError, match=r'layer "b" .*shares a weight'):
        from_state_dict(net, {"p.weight": values, "q.weight": values + 1}, {"p": "a", "q": "b"})


def test_what_is_left_over_is_reported():
    net = net_of(TWO)
    offered = {"m.a.weight": torch.ones(3, 4), "m.a.bias": torch.ones(3), "head.weight": torch.ones(1), "m.a.part.x": 0}
    report = from_state_dict(net, offered, {"m.a": "a"})
    assert report.loaded == ("a",)
    assert report.unused == ("head.weight", "m.a.part.x")
    assert report.kept == ("b", "bn", "c")
    assert (net.params["a"][0].data == 1).all()


def test_arrays_and_numbers_of_other_types_are_taken():
    net = net_of(TWO)
    from_state_dict(net, {"a.weight": np.ones((3, 4)), "a.bias": torch.arange(3, dtype=torch.float64)}, {"a": "a"})
    assert net.params["a"][1].data.tolist() == [0, 1, 2]
    from_state_dict(net, {"a.weight": np.full((3, 4), 2), "a.bias": torch.ones(3).bfloat16()}, {"a": "a"})
    assert (net.params["a"][0].data == 2).all()


def test_weights_lie_in_memory_of_their_own():
    net = net_of(TWO)
    held = net.params["a"][0].data
    held[...] = 2
    found = to_state_dict(net, {"one": "a"})
    assert (found["one.weight"] == 2).all()
    found["one.weight"].zero_()
    assert (held == 2).all()
    offered = {"one.weight": torch.ones(3, 4), "one.bias": torch.ones(3)}
    from_state_dict(net, offered, {"one": "a"})
    offered["one.weight"].zero_()
    assert (held == 1).all()


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_nets_of_either_kind_are_taken(phase, tmp_path):
    (tmp_path / "net.prototxt").write_text(TWO)
    offered = {"weight": torch.ones(3, 4), "bias": torch.ones(3)}
    for net in (
        caffelite.Net(str(tmp_path / "net.prototxt"), phase),
        caffelite.load(tmp_path / "net.prototxt", phase=phase),
    ):
        from_state_dict(net, offered, {"": "a"})
        assert torch.equal(to_state_dict(net, {"": "a"})["weight"], offered["weight"])


def test_what_is_no_net_or_no_state_dict_is_refused():
    with pytest.raises(UsageError, match="a net is wanted, got a Linear"):
        from_state_dict(nn.Linear(1, 1), {}, {})
    with pytest.raises(UsageError, match=r"got a str\n.*weights_only=True"):
        from_state_dict(net_of(TWO), "model.pt", {})
    with pytest.raises(UsageError, match="got a list"):
        from_state_dict(net_of(TWO), [], {})
