"""A net as a torch module and its arrays: one memory, whoever changes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import caffelite
from caffelite.net import Net
from caffelite.net.module import NetModule

from ..nets import net_of
from .modules import SMALL, Written, images, module_of, python


def test_parameters_are_the_nets_own():
    net = net_of(SMALL)
    module = NetModule(net)
    assert [id(p) for p in module.parameters()] == [id(p.tensor) for p in net.parameters]
    module(images()).sum().backward()
    for name, slot in (("conv", 0), ("conv", 1), ("ip", 0)):
        weight = getattr(module.get_submodule(name), ("weight", "bias")[slot])
        assert np.array_equal(net.params[name][slot].data, weight.detach().numpy())
        assert np.array_equal(net.params[name][slot].diff, weight.grad.numpy())


def test_an_optimizers_step_is_seen_by_the_net_and_by_arrays_that_are_held():
    net = net_of(SMALL)
    module = NetModule(net)
    held = [(blob.data, blob.diff) for blob in net.parameters]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        module(images()).square().sum().backward()
        optimizer.step()
    for blob, (data, diff) in zip(net.parameters, held, strict=True):
        assert np.array_equal(blob.data, blob.tensor.detach().numpy())
        assert np.array_equal(blob.diff, blob.tensor.grad.numpy())
        assert np.shares_memory(blob.data, data)
        assert np.shares_memory(blob.diff, diff)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    module(images())
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))


def test_what_is_written_to_arrays_is_seen_by_the_module():
    net = net_of(SMALL)
    module = NetModule(net)
    net.params["conv"][0].data[...] = 0
    net.params["conv"][1].data[...] = 1
    held = net.params["ip"][0].data
    module(images())
    held[...] = 2
    net.params["ip"][1].data[...] = 0
    torch.testing.assert_close(module(images()), torch.full((2, 5), 32.0))
    held[0] = 0
    torch.testing.assert_close(module(images())[:, 0], torch.zeros(2))


def test_a_gradient_that_was_looked_at_stays_forgotten():
    net = net_of(SMALL)
    module = NetModule(net)
    module(images()).sum().backward()
    held = net.params["conv"][0].diff
    assert held.any()
    assert net.params["ip"][0].diff.any()
    module.zero_grad()
    module(images())
    assert not held.any()
    assert all(p.grad is None for p in module.parameters())
    assert not any(blob.diff.any() for blob in net.parameters)
    module(images())
    assert all(p.grad is None for p in module.parameters())


def test_what_is_written_to_diff_is_added_to():
    net = net_of(SMALL)
    module = NetModule(net)
    module(images()).sum().backward()
    once = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    for blob in net.parameters:
        blob.diff[...] = 3
    module(images()).sum().backward()
    for p, gradient in zip(module.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, gradient + 3)


@pytest.mark.parametrize("to_none", [True, False])
def test_the_update_that_a_solver_leaves_in_diff_is_cleared_like_a_gradient(to_none):
    net = net_of(SMALL)
    module = NetModule(net)
    module(images()).sum().backward()
    once = module.ip.bias.grad.clone()
    net.parameters[3].update = lambda: torch.full((5,), 9.0)
    assert (net.params["ip"][1].diff == 9).all()
    net.parameters[3].update = lambda: torch.full((5,), 9.0)
    module.zero_grad(to_none)
    module(images()).sum().backward()
    torch.testing.assert_close(module.ip.bias.grad, once)
    assert np.array_equal(net.params["ip"][1].diff, once)


class Counting(caffelite.TorchLayer):
    def setup(self, x):
        self.register_buffer("calls", torch.zeros(2, 3, 2, 2))

    def forward(self, x):
        self.calls += 1
        return x


def test_an_array_that_is_held_shows_what_a_call_collects():
    net = net_of(SMALL + python(Counting, "count").replace('bottom: "x"', 'bottom: "ip"'))
    module, held = NetModule(net), net.params["count"][0].data
    assert not module.count.calls.is_contiguous()
    for calls in (1, 2):
        module(images())
        assert (held == calls).all()


LOOKS = st.sampled_from(["hold", "drop", "look"])
BY_ARRAY = st.tuples(st.sampled_from(["data", "diff"]), st.integers(0, 3), st.floats(-2, 2, width=16))
BY_TORCH = st.sampled_from(["step", "clear", "zero", "clamp", "clip", "load"])


@settings(max_examples=40, deadline=None)
@given(
    rounds=st.lists(
        st.tuples(st.lists(LOOKS | BY_TORCH, max_size=4), st.lists(LOOKS | BY_ARRAY, max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_torch_and_arrays_change_one_memory(rounds):
    """First torch changes it, then arrays; who looks then, and the pass that follows, find what both made of it."""
    net, plain = net_of(SMALL), Written(module_of(SMALL))
    module, held = NetModule(net), []
    ours = [torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.5) for m in (module, plain)]
    for by_torch, by_array in rounds:
        for action in by_torch:
            if action in ("hold", "drop", "look"):
                held = look(net, plain, held, action)
            else:
                for m, optimizer in zip((module, plain), ours, strict=True):
                    change(m, optimizer, action)
        for action in by_array:
            if isinstance(action, str):
                held = look(net, plain, held, action)
            else:
                write(net, plain, *action)
        torch.testing.assert_close(module(images()), plain(images()))
        for m in (module, plain):
            m(images()).square().sum().backward()
    look(net, plain, held, "look")


def change(module: nn.Module, optimizer: torch.optim.Optimizer, how: str) -> None:
    if how == "step":
        optimizer.step()
    elif how in ("clear", "zero"):
        optimizer.zero_grad(set_to_none=how == "clear")
    elif how == "clamp":
        for parameter in module.parameters():
            parameter.data.clamp_(-0.2, 0.2)
    elif how == "clip":
        nn.utils.clip_grad_norm_(module.parameters(), 0.5)
    else:
        module.load_state_dict({name: 0.9 * values for name, values in module.state_dict().items()})


def write(net: Net, plain: nn.Module, part: str, index: int, value: float) -> None:
    parameter = list(plain.parameters())[index]
    getattr(net.parameters[index], part).reshape(-1)[1] = value
    if part == "diff" and parameter.grad is None and value:
        parameter.grad = torch.zeros_like(parameter)
    if part == "data" or parameter.grad is not None:
        (parameter.data if part == "data" else parameter.grad).view(-1)[1] = value


def look(net: Net, plain: nn.Module, held: list[np.ndarray], how: str) -> list[np.ndarray]:
    if how == "drop":
        return []
    for blob, parameter in zip(net.parameters, plain.parameters(), strict=True):
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        np.testing.assert_allclose(blob.data, parameter.detach(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(blob.diff, gradient, rtol=1e-3, atol=1e-3)
        held = [*held, blob.data, blob.diff] if how == "hold" else held
    return held


def test_arrays_follow_where_the_memory_goes():
    """As `to` another device does it: every tensor is another one afterwards."""
    net = net_of(SMALL)
    module = NetModule(net)
    held, before = [blob.data for blob in net.parameters], [p.data_ptr() for p in module.parameters()]
    held[3][...] = 1
    module._apply(lambda tensor: tensor.clone())
    assert all(p.data_ptr() != was for p, was in zip(module.parameters(), before, strict=True))
    torch.testing.assert_close(module(images()), Written(module)(images()))
    assert (module.ip.bias == 1).all()
    held[0][...], held[1][...] = 0, 1
    with torch.no_grad():
        module.ip.bias.fill_(2)
    torch.testing.assert_close(module(images()), module.ip.weight.sum(1).expand(2, 5) + 2)
    assert (held[3] == 2).all()
    net.forward_backward()
    assert (net.blobs["ip"].data[0] == net.blobs["ip"].data[1]).all()


def test_weights_in_torchs_own_order_can_be_looked_at_as_one_vector():
    module = module_of(SMALL)
    assert not module.conv.weight.is_contiguous()
    module.to(memory_format=torch.contiguous_format)
    held, wanted = module.core.params["conv"][0].data, Written(module)(images())
    torch.testing.assert_close(module(images()), wanted)
    vector = nn.utils.parameters_to_vector(module.parameters())
    nn.utils.vector_to_parameters(0 * vector + 1, module.parameters())
    torch.testing.assert_close(module(images()), Written(module)(images()))
    assert (held == 1).all()


def test_everything_moves():
    """To a device without values, where a tensor that was left behind is an error."""
    net = net_of(SMALL + 'layer { name: "bn" type: "BatchNorm" bottom: "ip" top: "ip" }', observed=True)
    module = NetModule(net).to("meta")
    assert {t.device.type for t in (*module.state_dict().values(), *(p.tensor for p in net.parameters))} == {"meta"}
    x = images().to("meta").requires_grad_()
    module(x).sum().backward()
    assert x.grad.is_meta
    assert all(p.grad.is_meta for p in module.parameters())
    net.forward_backward()
    assert net.blobs["ip"].data_mirror.tensor().is_meta
    assert not net.channels_last
