"""A net among torch's modules: names, hooks, copies, state_dicts, and torch's tools."""

from __future__ import annotations

import copy
import io
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import caffelite
from caffelite.errors import CaffeliteError, LayerError, UsageError
from caffelite.net.module import NetModule
from caffelite.proto import TRAIN

from ..nets import net_of
from .modules import CLASSIFIER, NORM, SMALL, Noted, Written, dense, images, inputs, module_of, python


def test_each_layer_that_computes_is_a_submodule_under_its_name():
    module = module_of(CLASSIFIER)
    assert [name for name, _ in module.named_modules()][1:] == ["conv", "relu", "pool", "ip", "loss", "accuracy"]
    assert [*module.state_dict()] == ["conv.weight", "conv.bias", "ip.weight", "ip.bias"]
    assert "(conv): Convolution(data -> conv; weight 4x3x3x3, bias 4)" in repr(module)
    with pytest.raises(AttributeError, match=r"no submodule 'convv'; did you mean conv\?"):
        module.get_submodule("convv")


NAMES = {
    "conv1/7x7": "conv1/7x7.weight",
    "layer1.0.conv1": "layer1.0.conv1.weight",
    "a..b.": "a._.b._.weight",
    "": "InnerProduct.weight",
    "train": "train.weight",
    "training": "training_2.weight",
    "core.x": "core_2.x.weight",
}


@pytest.mark.parametrize("name", NAMES)
def test_layers_of_any_name_have_theirs(name):
    text = inputs(x=(2, 3)) + dense(name, "x", "y", 3)
    module, other = module_of(text), module_of(text, seed=2)
    assert [*module.state_dict()] == [NAMES[name], NAMES[name].replace("weight", "bias")]
    other.load_state_dict(module.state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(module(x), other(x))
    assert module.get_submodule(NAMES[name].removesuffix(".weight"))._get_name() == "InnerProduct"
    assert module.get_parameter(NAMES[name]) is module.core.parameters[0].tensor


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.text("ab./", max_size=4), min_size=1, max_size=5))
def test_no_two_weights_have_one_key(names):
    text, bottom = inputs(x=(1, 2)), "x"
    for number, name in enumerate(names):
        text += dense(name, bottom, f"t{number}", 2)
        bottom = f"t{number}"
    module = module_of(text)
    state = module.state_dict()
    assert len(state) == 2 * len(names)
    assert {name for name, _ in module.named_parameters()} == state.keys()
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    module.load_state_dict(state | {key: torch.ones_like(values) for key, values in state.items()})
    assert all((parameter == 1).all() for parameter in module.parameters())
    assert all(module.get_parameter(key) is dict(module.named_parameters())[key] for key in state)


def test_weights_are_called_as_their_layers_say():
    sequence = (
        inputs(x=(4, 2, 3), cont=(4, 2), s=(2, 5), i=(2,), n=(2, 3))
        + """
    layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" bottom: "s" top: "a"
      recurrent_param { num_output: 2 } }
    layer { name: "rnn" type: "RNN" bottom: "x" bottom: "cont" top: "b" recurrent_param { num_output: 2 } }
    layer { name: "embed" type: "Embed" bottom: "i" top: "c" embed_param { input_dim: 5 num_output: 2 } }
    layer { name: "prelu" type: "PReLU" bottom: "n" top: "d" }
    layer { name: "bias" type: "Bias" bottom: "n" top: "e" }
    layer { name: "shift" type: "Scale" bottom: "n" bottom: "n" top: "f" scale_param { axis: 0 bias_term: true } }
    layer { name: "table" type: "Parameter" top: "g" parameter_param { shape { dim: 3 } } }
    layer { name: "bn" type: "BatchNorm" bottom: "n" top: "h" }
    """
        + python(Noted, "user").replace('bottom: "x"', 'bottom: "n"')
    )
    module = module_of(sequence)
    assert [*module.state_dict()] == [
        *("lstm.weight_x", "lstm.bias", "lstm.weight_static", "lstm.weight_h"),
        *("rnn.weight_x", "rnn.bias", "rnn.weight_h", "rnn.weight_o", "rnn.bias_o"),
        *("embed.weight", "embed.bias", "prelu.weight", "bias.bias", "shift.bias", "table.weight"),
        *("bn.mean", "bn.variance", "bn.amount"),
        *("user.part.weight", "user.part.bias"),
        *("user.norm.weight", "user.norm.bias", "user.norm.running_mean", "user.norm.running_var"),
    ]
    buffers = {name.rpartition(".")[2] for name, _ in module.named_buffers()}
    assert buffers == {"mean", "variance", "amount", "running_mean", "running_var"}


def test_weights_that_layers_share_stand_under_each_name():
    text = (
        inputs(x=(2, 6))
        + dense("a", "x", "y", 6, 'param { name: "w" }')
        + """
    layer { name: "r" type: "Reshape" bottom: "y" top: "y4" reshape_param { shape { dim: 0 dim: 0 dim: 1 dim: 1 } } }
    layer { name: "c" type: "Convolution" bottom: "y4" top: "z" param { name: "w" share_mode: PERMISSIVE }
      convolution_param { num_output: 6 kernel_size: 1 bias_term: false } }
    """
    )
    module, x = module_of(text), torch.randn(2, 6)
    assert module.a.weight is module.c.weight
    torch.testing.assert_close(
        module(x).flatten(1), F.linear(F.linear(x, module.a.weight, module.a.bias), module.a.weight)
    )
    assert len(list(module.parameters())) == 2
    twin = copy.deepcopy(module)
    assert twin.a.weight is twin.c.weight
    twin.a.weight = nn.Parameter(torch.zeros(6, 6))
    assert twin.c.weight is twin.a.weight is twin.core.parameters[0].tensor
    assert not twin(x).any()


def test_hooks_see_each_layers_bottoms_and_tops_in_place_or_not():
    module, seen = module_of(SMALL), {}
    for name, layer in module.named_children():
        layer.register_forward_hook(lambda _, bottoms, top, name=name: seen.update({name: (bottoms, top)}))
    y = module(images())
    assert [*seen] == ["conv", "relu", "pool", "ip"]
    (x,), conv = seen["conv"]
    assert torch.equal(x, images())
    (before,), after = seen["relu"]
    assert before is conv
    assert torch.equal(after, conv.relu())
    assert seen["pool"][0][0] is after
    assert seen["ip"][1] is y


def test_hooks_may_change_what_passes_either_way():
    module = module_of(SMALL)
    handle = module.relu.register_forward_hook(lambda layer, bottoms, top: torch.ones_like(top))
    torch.testing.assert_close(module(images()), (module.ip.weight.sum(1) + module.ip.bias).expand(2, 5))
    handle.remove()
    found = []
    module.ip.register_full_backward_hook(lambda layer, to_bottoms, to_tops: found.append((to_bottoms, to_tops)))
    module(images()).sum().backward()
    ((to_pool,), (to_ip,)) = found[0]
    assert (to_ip == 1).all()
    torch.testing.assert_close(to_pool.flatten(1), module.ip.weight.sum(0).expand(2, 16))


def test_an_error_of_a_hook_is_the_hooks():
    module = module_of(SMALL)
    module.conv.register_forward_pre_hook(lambda layer, bottoms: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        module(images())
    other = module_of(SMALL)
    other.conv.register_forward_pre_hook(lambda layer, bottoms: (bottoms[0][:, :2],))
    with pytest.raises(CaffeliteError, match=r'layer "conv" .*cannot compute'):
        other(images())


def test_a_copy_has_weights_layers_and_arrays_of_its_own():
    net = net_of(NORM % "" + dense("ip", "y", "z", 3), TRAIN)
    module, held = NetModule(net), net.params["ip"][0].data
    module(torch.randn(4, 3, 5, 5)).sum().backward()
    held[...] = 1
    twin = copy.deepcopy(module)
    assert not {t.data_ptr() for t in twin.state_dict().values()} & {t.data_ptr() for t in module.state_dict().values()}
    for name, values in module.state_dict().items():
        assert torch.equal(values, twin.state_dict()[name])
    assert [p.tensor for p in twin.core.parameters[-2:]] == [twin.ip.weight, twin.ip.bias]
    twin.eval()
    assert net.graph.nodes[1].layer.phase == TRAIN
    twin.core.params["ip"][0].data[...] = 2
    held[...] = 3
    x = torch.randn(4, 3, 5, 5)
    module.eval()
    a, b = module(x), twin(x)
    assert (module.ip.weight == 3).all()
    assert (twin.ip.weight == 2).all()
    torch.testing.assert_close(a - module.ip.bias, 1.5 * (b - twin.ip.bias))


def test_a_copy_of_a_net_that_reads_files_reads_on_from_there(golden, tmp_path, monkeypatch):
    shutil.copytree(golden("solvers/adam/net.prototxt").parent, tmp_path / "adam")
    shutil.copytree(golden("solvers/_data/train.h5").parent, tmp_path / "_data")
    monkeypatch.chdir(tmp_path / "adam")
    module = caffelite.load("net.prototxt", "init.caffemodel", TRAIN)
    module()
    twin = copy.deepcopy(module)
    for _ in range(3):
        torch.testing.assert_close(twin.weighted_loss(), module.weighted_loss())


def test_a_copy_keeps_hooks_and_torchs_tools():
    module, seen = module_of(SMALL), []
    module.conv.register_forward_hook(lambda *_: seen.append(1))
    parametrizations.weight_norm(module.ip)
    twin = copy.deepcopy(module)
    torch.testing.assert_close(twin(images()), module(images()))
    assert len(seen) == 2


def test_state_dicts_go_through_files_and_are_strict(tmp_path):
    module, other = module_of(NORM % ""), module_of(NORM % "")
    module(torch.randn(4, 3, 5, 5))
    torch.save(module.state_dict(), tmp_path / "net.pt")
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    other.load_state_dict(state)
    assert other.bn.amount == 1
    assert np.array_equal(other.core.params["bn"][0].data, module.bn.mean)
    with pytest.raises(RuntimeError, match=r'Missing key.* "bn.mean"[\s\S]*Unexpected key.* "bn.mena"'):
        other.load_state_dict({name.replace("bn.mean", "bn.mena"): values for name, values in state.items()})
    with pytest.raises(RuntimeError, match=r"size mismatch for scale\.weight"):
        other.load_state_dict(state | {"scale.weight": torch.zeros(4)})


def test_tensors_that_are_assigned_become_the_nets():
    net = net_of(SMALL)
    module, held = NetModule(net), net.params["ip"][1].data
    module.load_state_dict({name: 2 * values for name, values in module.state_dict().items()}, assign=True)
    module.ip.bias = nn.Parameter(torch.full((5,), 7.0))
    assert [p.tensor for p in net.parameters] == [*module.parameters()]
    assert (held == 7).all()
    held[...] = 8
    torch.testing.assert_close(module(images()), Written(module)(images()))
    assert (module.ip.bias == 8).all()
    for wrong, message in ((torch.zeros(6), "cannot take shape"), (torch.zeros(5).double(), "float64")):
        with pytest.raises(UsageError, match=message):
            module.ip.bias = nn.Parameter(wrong)
        assert (module.ip.bias == 8).all()
    with pytest.raises(RuntimeError, match="float16"):
        module.load_state_dict({k: v.half() for k, v in module.state_dict().items()}, assign=True)
    assert module.ip.bias.dtype == torch.float32


@pytest.mark.parametrize("convert", [nn.Module.half, nn.Module.double, nn.Module.bfloat16])
def test_a_net_stays_float32(convert):
    module = module_of(SMALL)
    for part in (module, module.conv, nn.Sequential(module)):
        with pytest.raises(UsageError, match=r"computes in torch\.float32"):
            convert(part)
    assert {p.dtype for p in module.float().to("cpu").parameters()} == {torch.float32}
    torch.testing.assert_close(module(images()), Written(module)(images()))


def test_memory_can_be_shared_among_processes():
    module = module_of(SMALL).share_memory()
    assert all(p.is_shared() for p in module.parameters())
    assert all(blob.tensor.is_shared() for blob in module.core.parameters)
    torch.testing.assert_close(module(images()), Written(module)(images()))


def test_a_net_is_not_pickled():
    with pytest.raises(UsageError, match=r"cannot be pickled\n.*state_dict"):
        torch.save(module_of(SMALL), io.BytesIO())


def test_functional_call_computes_with_other_tensors_and_gives_their_gradients():
    module = module_of(SMALL)
    written = Written(module)
    weights = {name: (2 * values).requires_grad_() for name, values in module.state_dict().items()}
    y = torch.func.functional_call(module, weights, (images(),))
    torch.testing.assert_close(y, torch.func.functional_call(written, weights, (images(),)))
    y.sum().backward()
    assert weights["conv.weight"].grad.any()
    assert module.conv.weight.grad is None
    torch.testing.assert_close(module(images()), written(images()))


def test_parametrizations_and_pruning_act_on_weights():
    module = module_of(SMALL)
    wanted = module(images())
    parametrizations.weight_norm(module.conv)
    torch.testing.assert_close(module(images()), wanted)
    prune.l1_unstructured(module.ip, "weight", 0.5)
    weight, mask = module.ip.weight_orig, module.ip.weight_mask
    assert mask.sum() == mask.numel() / 2
    bottoms = []
    module.ip.register_forward_hook(lambda _, given, top: bottoms.append(given[0]))
    y = module(images())
    torch.testing.assert_close(y, F.linear(bottoms[0].flatten(1), weight * mask, module.ip.bias))
    prune.remove(module.ip, "weight")
    torch.testing.assert_close(module(images()), y)
    assert module.core.params["ip"][0].owner.tensor is module.ip.weight


def test_another_module_may_stand_in_the_place_of_a_layer():
    module = module_of(CLASSIFIER)
    x, labels = images(), torch.tensor([6, 0])
    module.ip = nn.Sequential(nn.Flatten(), nn.Linear(16, 7))
    loss = module(x, labels)["loss"]
    loss.backward()
    assert module.ip[1].weight.grad.any()
    features = []
    module.pool.register_forward_hook(lambda _, given, top: features.append(top))
    module(x, labels)
    torch.testing.assert_close(loss, F.cross_entropy(module.ip(features[0]), labels))
    assert torch.equal(copy.deepcopy(module)(x, labels)["loss"], loss)
    assert {"ip.1.weight", "ip.1.bias"} < module.state_dict().keys()
    assert [len(group["params"]) for group in module.parameter_groups(0.1)] == [4]
    module.core.blobs["data"].data[...] = x
    module.core.forward()
    with pytest.raises(LayerError, match=r"label of sample 0 must be .* 0 to 4"):
        module.core.blobs["label"].data[...] = labels
        module.core.forward()


def test_a_call_that_fails_in_such_a_module_leaves_the_others_as_they_were():
    reshape = 'layer {{ name: "r" type: "Reshape" bottom: "y" top: "z" reshape_param {{ shape {{ {} }} }} }}\n'
    text = inputs(x=(2, 6)) + dense("a", "x", "y", 4) + reshape.format("dim: 0 dim: 2 dim: -1")
    module = module_of(text + dense("b", "z", "out", 3))
    x = torch.randn(2, 6)
    before, own, module.a = module(x), module.a, nn.Linear(6, 8)
    with pytest.raises(LayerError, match=r'layer "b"'):
        module(x)
    module.core.forward()
    module.a = own
    assert torch.equal(module(x), before)


def test_a_call_of_another_thread_waits():
    shape = "reshape_param { shape { dim: 0 dim: 3 dim: 2 } }"
    reshape = f'layer {{ name: "r" type: "Reshape" bottom: "x" top: "y" {shape} }}\n'
    module = module_of(inputs(x=(2, 6)) + reshape + dense("a", "y", "z", 4))
    one, other = torch.randn(2, 6), torch.randn(5, 6)
    wanted, wanted_of_other = module(one), module(other)

    def meanwhile(*_):
        handle.remove()
        threads.submit(lambda: found.append(module(other)))
        time.sleep(0.1)

    found: list[torch.Tensor] = []
    with ThreadPoolExecutor(1) as threads:
        handle = module.r.register_forward_pre_hook(meanwhile)
        assert torch.equal(module(one), wanted)
    assert torch.equal(found[0], wanted_of_other)


@pytest.mark.parametrize("names", [("a.b", "a"), ("a", "a.b"), ("a.b.c", "a.b"), ("a", "a")])
def test_and_so_where_one_name_begins_another(names):
    module = module_of(inputs(x=(2, 3)) + dense(names[0], "x", "y", 3) + dense(names[1], "y", "z", 3))
    x, found = (
        torch.randn(2, 3),
        [name for name, layer in module.named_modules() if layer._get_name() == "InnerProduct"],
    )
    assert sorted(found) == sorted(names if names[0] != names[1] else ("a", "a_2"))
    for name in reversed(found):
        holder, _, last = name.rpartition(".")
        setattr(module.get_submodule(holder), last, nn.Identity())
    assert torch.equal(module(x), x)


def test_rates_and_decays_of_weights_are_param_groups():
    two = "param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
    frozen = "param { lr_mult: 0 } param { lr_mult: 1 }"
    module = module_of(inputs(x=(2, 3)) + dense("a", "x", "y", 3, two) + dense("b", "y", "z", 3, frozen))
    groups = module.parameter_groups(0.1, 0.5)
    assert [(len(g["params"]), g["lr"], g["weight_decay"]) for g in groups] == [(2, 0.1, 0.5), (1, 0.2, 0)]
    assert groups[0]["params"] == [module.a.weight, module.b.bias]
