"""Passes as CUDA graphs: to the bit what they are in Python, and left where they cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffelite.net import Net
from caffelite.net.capture import Capture
from caffelite.net.graphed import Graphed
from caffelite.proto import SolverParameter

from ..net.test_capture import CLASSES, END, FILLED, INPUTS, NETS, X, batch, expect_the_same_test, in_python
from ..nets import net_of

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

GPU = torch.device("cuda", 0)


def trained(net: Net, count: int = 7) -> list[Any]:
    """What some passes give; before the sixth, gradients stay."""
    values: list[Any] = []
    for number in range(count):
        batch(net, number)
        if number != 5:
            net.clear_gradients()
        values.append(net.forward_backward())
        values += [parameter.diff.copy() for parameter in net.parameters]
        values.append(net.output_values())
    return [float(value) if isinstance(value, torch.Tensor) else value for value in values]


@pytest.mark.parametrize("precision", ["FLOAT32", "TF32", "BF16"])
@pytest.mark.parametrize("name", NETS)
def test_training_is_the_same_to_the_bit(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = SolverParameter.Precision.Value(precision)
    first, second = (net_of(INPUTS + NETS[name] + END, device=GPU, precision=kind) for _ in range(2))
    mine = trained(first)
    in_python(monkeypatch)
    np.testing.assert_equal(mine, trained(second))
    assert first.fast_plan.captured is not None
    assert isinstance(first.fast_plan.captured._whole.replay, Graphed)


DEEP = f"""
layer {{ name: "conv1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param {{ num_output: 32 kernel_size: 3 pad: 1 {FILLED} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "c1" top: "c1" }}
layer {{ name: "norm" type: "LRN" bottom: "c1" top: "n" }}
layer {{ name: "pool1" type: "Pooling" bottom: "n" top: "p1" pooling_param {{ kernel_size: 3 stride: 2 }} }}
layer {{ name: "conv2" type: "Convolution" bottom: "p1" top: "c2"
  convolution_param {{ num_output: 32 kernel_size: 3 pad: 1 group: 2 {FILLED} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "c2" top: "c2" }}
layer {{ name: "scale" type: "Scale" bottom: "c2" top: "c2" scale_param {{ bias_term: true }} }}
layer {{ name: "pool2" type: "Pooling" bottom: "c2" top: "p2"
  pooling_param {{ pool: AVE kernel_size: 3 stride: 2 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "p2" top: "score" {CLASSES} }}
"""


@pytest.mark.parametrize("precision", ["FLOAT32", "TF32", "BF16"])
def test_it_is_the_same_each_time(precision: str) -> None:
    """Windows overlap, and gradients of convolutions are sums that cuDNN could take in any order."""
    kind, found = SolverParameter.Precision.Value(precision), []
    for _ in range(4):
        net = net_of(INPUTS.replace("40", "512") + DEEP + END, device=GPU, precision=kind)
        assert net.channels_last == (precision != "FLOAT32")
        chance = np.random.default_rng(1)
        net.blobs["x"].data[...] = chance.standard_normal(net.blobs["x"].shape)
        net.blobs["label"].data[...] = chance.integers(0, 5, 512)
        for _ in range(5):
            net.clear_gradients()
            net.forward_backward()
        found.append([parameter.diff.copy() for parameter in net.parameters])
    for other in found[1:]:
        np.testing.assert_equal(other, found[0])


@pytest.mark.parametrize("name", NETS)
def test_so_is_a_test(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_the_same_test(INPUTS + NETS[name], monkeypatch, device=GPU)


@pytest.mark.parametrize("name", sorted({*NETS} - {"chance"}))  # which is another one on each kind of device
def test_it_is_nearly_what_the_cpu_gives(name: str) -> None:
    nets = [net_of(INPUTS + NETS[name] + END, device=device) for device in (GPU, torch.device("cpu"))]
    for number in range(6):
        for net in nets:
            batch(net, number)
            net.clear_gradients()
        losses = [float(net.forward_backward()) for net in nets]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for mine, other in zip(nets[0].parameters, nets[1].parameters, strict=True):
        np.testing.assert_allclose(mine.diff, other.diff, rtol=1e-4, atol=1e-6)


def test_losses_that_are_kept_stay() -> None:
    net = net_of(INPUTS + NETS["two layers"] + END, device=GPU)
    losses, told = [], []
    for number in range(8):
        batch(net, number)
        losses.append(net.forward_backward())
        told.append(losses[-1].item())
    assert [loss.item() for loss in losses] == told
    assert len(set(told)) == 8


def test_what_a_graph_keeps_is_free_when_its_net_is_closed() -> None:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    net = net_of(INPUTS + NETS["convolution"] + END, device=GPU)
    batch(net, 0)
    for _ in range(5):
        net.forward_backward()
    made = torch.cuda.memory_allocated() - before
    net.close()
    assert torch.cuda.memory_allocated() - before < made / 2


def test_weights_in_another_place_are_heeded() -> None:
    net = net_of(INPUTS + NETS["two layers"] + END, device=GPU)
    batch(net, 0)
    losses = [float(net.forward_backward()) for _ in range(5)]
    for parameter in net.parameters:
        parameter.become(torch.nn.Parameter(torch.zeros_like(parameter.tensor)))
    net.clear_gradients()
    assert len(set(losses)) == 1
    assert float(net.forward_backward()) == pytest.approx(np.log(5), rel=1e-6)
    for parameter in net.parameters:
        parameter.tensor.data.fill_(1)
    assert float(net.forward_backward()) == pytest.approx(np.log(5), rel=1e-5)


def test_a_label_that_is_no_class_gives_no_number() -> None:
    net = net_of(INPUTS + NETS["one layer"] + END, device=GPU)
    batch(net, 0)
    for _ in range(5):
        net.forward_backward()
    net.blobs["label"].data[7] = 5
    assert np.isnan(float(net.forward_backward()))
    net.blobs["label"].data[7] = 4
    assert np.isfinite(float(net.forward_backward()))


@pytest.mark.parametrize(
    "work",
    [
        lambda x: [x * 2 if float(x.sum()) > 0 else x],
        lambda x: [x + torch.rand(3, 4, device=x.device)],
        lambda x: [x + torch.from_numpy(x.cpu().numpy()).to(x.device)],
        lambda x: [x[x > 0]],
    ],
    ids=["a decision", "chance", "the host", "sizes by values"],
)
def test_there_is_no_graph_of(work: Any) -> None:
    capture, x = Capture(), X.to(GPU)
    for _ in range(5):
        with torch.no_grad():
            capture([x], lambda: work(x))
    assert capture.replay is None
    assert float((x + 1).sum()) == float(X.sum()) + 12
