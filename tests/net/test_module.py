"""What a net gives as a torch module, and its gradients.

That they are those of the original, `tests/test_recorded.py` asks for every recorded case, and `test_random_nets.py`
for nets put together by chance.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from caffelite.errors import LayerError, UsageError
from caffelite.net.module import NetModule

from ..nets import net_of
from .modules import CLASSIFIER, SMALL, Written, dense, images, inputs, module_of


def test_outputs_and_gradients_are_those_of_the_same_module_written_by_hand():
    module = module_of(SMALL)
    written = Written(module)
    for count in (2, 5, 1):
        x, y = images(count).requires_grad_(), images(count).requires_grad_()
        torch.testing.assert_close(module(x), written(y))
        (module(x) ** 2).sum().backward()
        (written(y) ** 2).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
        for name, parameter in written.named_parameters():
            torch.testing.assert_close(module.get_parameter(name).grad, parameter.grad)


def test_a_single_output_is_a_tensor_and_several_are_a_dictionary():
    assert module_of(SMALL)(images()).shape == (2, 5)
    module = module_of(CLASSIFIER)
    outputs = module(images(), torch.tensor([1, 4]))
    assert set(outputs) == {"loss", "accuracy"}
    assert module.outputs == ("accuracy", "loss")
    assert module.loss_weights == {"loss": 0.5}


def test_losses_are_0d_and_without_their_weight_and_the_weighted_loss_is_what_a_solver_minimises():
    module, labels = module_of(CLASSIFIER), torch.tensor([1, 4])
    loss = module(images(), labels)["loss"]
    wanted = F.cross_entropy(Written(module_of(SMALL))(images()), labels)
    assert loss.shape == ()
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(module.weighted_loss(images(), labels), 0.5 * wanted)


def test_an_output_that_a_split_carries_has_its_own_name():
    text = inputs(x=(2, 3)) + dense("a", "x", "y", 3, "loss_weight: 0.5") + dense("b", "y", "z", 2)
    assert set(module_of(text)(torch.ones(2, 3))) == {"y", "z"}


def test_inputs_are_taken_by_place_and_by_name():
    module, x, label = module_of(CLASSIFIER), images(), torch.tensor([0, 3])
    wanted = module(x, label)["loss"]
    for given in (((x,), {"label": label}), ((), {"label": label, "data": x})):
        assert module(*given[0], **given[1])["loss"] == wanted


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool, torch.int16])
def test_whole_numbers_become_float32(kind):
    module, x = module_of(SMALL), images().mul(3).abs().to(kind)
    torch.testing.assert_close(module(x), module(x.float()))


WRONG = {
    "too many": ((images(), torch.zeros(2), torch.zeros(2)), {}, "takes data, label; 3 are given"),
    "missing": ((images(),), {}, "label is not given"),
    "unknown": ((images(),), {"labels": torch.zeros(2)}, 'no input "labels"\n.*did you mean label'),
    "twice": ((images(),), {"data": images(), "label": torch.zeros(2)}, '"data" is given twice'),
    "an array": ((images().numpy(), torch.zeros(2)), {}, "no tensor but a ndarray\n.*torch.as_tensor"),
    "double": ((images().double(), torch.zeros(2)), {}, "is torch.float64; .*\n.*data.float()"),
    "elsewhere": ((images().to("meta"), torch.zeros(2)), {}, "on meta, and the net on cpu"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_input_is_refused(case):
    given, named, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        module_of(CLASSIFIER)(*given, **named)


def test_shapes_that_do_not_fit_are_the_layers_errors_and_leave_no_trace():
    reshape = 'layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: 0 dim: -1 } } }\n'
    module, x = module_of(inputs(x=(2, 3, 2)) + reshape + dense("ip", "r", "y", 4)), torch.randn(2, 3, 2)
    wanted = module(x)
    with pytest.raises(LayerError, match="the weights are for 6 inputs"):
        module(torch.zeros(5, 3, 4))
    assert torch.equal(module(x), wanted)
    module.core.blobs["x"].reshape(5, 3, 4)
    with pytest.raises(LayerError, match="the weights are for 6 inputs"):
        module.core.forward()
    assert torch.equal(module(x), wanted)


def test_a_net_that_reads_data_reads_a_batch_in_each_call():
    text = """layer { name: "data" type: "MemoryData" top: "data" top: "label"
      memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }
    """ + dense("ip", "data", "ip", 2)
    module, values = module_of(text), np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3)
    module.core.graph.nodes[0].layer.set_arrays(values, np.arange(4, dtype=np.float32))
    for batch in (0, 1, 0):
        outputs = module()
        x = torch.from_numpy(values[2 * batch : 2 * batch + 2]).flatten(1)
        torch.testing.assert_close(outputs["ip"], F.linear(x, module.ip.weight, module.ip.bias))
        assert outputs["label"].flatten().tolist() == [2 * batch, 2 * batch + 1]


def test_the_net_goes_on_with_its_own_shapes_and_blobs():
    net = net_of(SMALL, observed=True)
    module = NetModule(net)
    net.blobs["data"].data[...] = images()
    net.forward()
    before = net.blobs["ip"].data.copy()
    for count in (5, 1, 2):
        module(images(count, seed=1))
        assert np.array_equal(net.blobs["ip"].data, before)
        net.forward()
        assert np.array_equal(net.blobs["ip"].data, before)


def test_no_grad_is_respected():
    module = module_of(SMALL)
    x = images().requires_grad_()
    with torch.no_grad():
        assert not module(x).requires_grad
    with torch.inference_mode():
        assert module(images()).is_inference()
    assert module(x).requires_grad
    assert module.requires_grad_(False)(images()).requires_grad is False


def test_propagate_down_ends_gradients_and_labels_get_none():
    text = inputs(x=(2, 3), label=(2,)) + dense("a", "x", "y", 3) + dense("b", "y", "z", 4, "propagate_down: false")
    text += 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "label" top: "loss" }'
    module, x, label = module_of(text), torch.randn(2, 3, requires_grad=True), torch.zeros(2, requires_grad=True)
    module(x, label).backward()
    assert x.grad is None
    assert label.grad is None
    assert module.a.weight.grad is None
    assert module.b.weight.grad.any()


def test_propagate_down_keeps_gradients_from_inputs_too():
    module, x = module_of(inputs(x=(2, 3)) + dense("a", "x", "y", 3, "propagate_down: false")), torch.randn(2, 3)
    module(x.requires_grad_()).sum().backward()
    assert x.grad is None
    assert module.a.weight.grad.any()


def test_a_gradient_that_a_prototxt_asks_of_labels_is_refused():
    loss = 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "l" propagate_down: [true, true] }'
    module = module_of(inputs(x=(2, 3), y=(2,)) + loss)
    with torch.no_grad():
        module(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(LayerError, match='no gradient for its bottom "y"'):
        module(torch.zeros(2, 3), torch.zeros(2))


def test_frozen_weights_get_no_gradient_until_they_are_asked_for_one():
    module = module_of(inputs(x=(2, 3)) + dense("ip", "x", "y", 3, "param { lr_mult: 0 } param { lr_mult: 1 }"))
    assert [p.requires_grad for p in module.parameters()] == [False, True]
    module.requires_grad_(True)
    module(torch.randn(2, 3)).sum().backward()
    assert module.ip.weight.grad.any()


def test_only_layers_that_learn_a_shared_weight_add_to_its_gradient():
    frozen = 'param { name: "w" lr_mult: 0 } param { lr_mult: 0 }'
    text = inputs(x=(2, 3)) + dense("a", "x", "y", 3, 'param { name: "w" }') + dense("b", "y", "z", 3, frozen)
    module, x = module_of(text), torch.randn(2, 3)
    module(x).sum().backward()
    wanted = (torch.ones(2, 3) @ module.b.weight.detach()).t() @ x
    torch.testing.assert_close(module.a.weight.grad, wanted)


def test_several_calls_come_before_a_backward():
    """Also where a backward reads what a later layer left in its blob: each call has its own."""
    sigmoid = 'layer { name: "s" type: "Sigmoid" bottom: "y" top: "y" }\n'
    double = 'layer { name: "d" type: "Power" bottom: "y" top: "y" power_param { scale: 2 } }\n'
    module = module_of(inputs(x=(2, 3)) + dense("ip", "x", "y", 2) + sigmoid + double)
    one, two = torch.randn(2, 3), torch.randn(2, 3)
    (module(one).sum() + module(two).sum()).backward()
    together = module.ip.bias.grad.clone()
    module.zero_grad()
    for x in (one, two):
        y = module(x)
        y.sum().backward()
        assert y.shape == (2, 2)
    torch.testing.assert_close(module.ip.bias.grad, together)
    slopes = [2 * y * (1 - y) for y in (module(one).detach(), module(two).detach())]
    torch.testing.assert_close(together, (slopes[0] + slopes[1]).sum(0))


class Around(nn.Module):
    """Something learned before a net and behind it, the net called twice."""

    def __init__(self, net: NetModule) -> None:
        super().__init__()
        self.before, self.net, self.behind = nn.Conv2d(1, 3, 1), net, nn.Linear(10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.before(x))
        return self.behind(torch.cat([self.net(y), self.net(y.flip(3))], 1)).sum()


def test_a_net_inside_a_larger_module_has_the_gradients_that_differences_show():
    torch.manual_seed(3)
    text = SMALL.replace('"ReLU"', '"TanH"')
    around = Around(module_of(text))
    x = torch.randn(4, 1, 6, 6, requires_grad=True)
    around(x).backward()
    leaves = {"input": x, **dict(around.named_parameters())}
    assert {"net.conv.weight", "net.ip.bias", "before.weight"} < leaves.keys()
    for name, leaf in leaves.items():
        direction = torch.randn_like(leaf)
        direction /= direction.norm()
        values = []
        for step in (1e-2, -1e-2):
            with torch.no_grad():
                leaf += step * direction
                values.append(around(x).double())
                leaf -= step * direction
        slope = float((values[0] - values[1]) / 2e-2)
        assert slope == pytest.approx(float((leaf.grad * direction).sum()), rel=2e-2, abs=2e-3), name


def test_the_backward_of_images_that_are_flattened_leaves_nothing_on_the_callers_tensor():
    pooling = 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 } }'
    module = module_of(inputs(data=(2, 3, 6, 6)) + dense("ip", "data", "ip", 2) + pooling)
    assert module.core.channels_last
    x = images().contiguous(memory_format=torch.channels_last).requires_grad_()
    for _ in range(3):
        module(x)["ip"].sum().backward()
    assert not x._backward_hooks
