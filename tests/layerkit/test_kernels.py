"""Kernels against autograd over the forward of their layers, and what a plan lets them do with memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit.kernels import products
from caffelite.layerkit.kernels.pooled_convolution import PooledConvolutionKernel
from caffelite.layerkit.kernels.rectified import ReLUKernel
from caffelite.layers.inner_product import InnerProduct
from caffelite.net import Net
from caffelite.net.taped import TapedKernel
from caffelite.proto import TEST, TRAIN

from ..nets import graph_of, net_of

IMAGES = """
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 4 dim: 3 dim: 9 dim: 8 } shape { dim: 4 } } }
"""
FILLED = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.2 max: 0.2 }'
LAYERS = {
    "convolution": f"convolution_param {{ num_output: 5 kernel_size: 3 pad: 1 stride: 2 {FILLED} }}",
    "convolution in groups": f"convolution_param {{ num_output: 6 kernel_size: 3 group: 3 {FILLED} }}",
    "convolution without bias": "convolution_param { num_output: 5 kernel_size: 1 bias_term: false "
    'weight_filler { type: "xavier" } }',
    "inner product": f"inner_product_param {{ num_output: 5 {FILLED} }}",
    "inner product, transposed": f"inner_product_param {{ num_output: 5 transpose: true {FILLED} }}",
    "inner product of the last axis": f"inner_product_param {{ num_output: 5 axis: 3 {FILLED} }}",
    "pooling, maxima": "pooling_param { pool: MAX kernel_size: 3 stride: 2 }",
    "pooling, maxima that overlap the padding": "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }",
    "pooling, averages": "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }",
    "lrn": "lrn_param { local_size: 3 alpha: 0.5 }",
    "relu": "",
    "dropout": "dropout_param { dropout_ratio: 0.4 }",
}
TYPES = {"inner": "InnerProduct", "lrn": "LRN", "relu": "ReLU", "dropout": "Dropout", "pooling": "Pooling"}


def type_of(name: str) -> str:
    return TYPES.get(name.split(",")[0].split()[0], "Convolution")


def computed(kernel: Any, net: Net, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> Any:
    """Tops, and the gradients of bottoms and weights under a gradient of 0.1, 0.2, …"""
    with torch.no_grad():
        kernel.drawn = kernel.draws(net.run) if kernel.draws is not None else None
        tops = list(kernel.forward(net.run, bottoms, weights, True))
        above = [(torch.arange(top.numel()) * 0.1 + 0.1).reshape(top.shape) for top in tops]
        if len(above[0].shape) == 4:
            above[0] = net.arranged(above[0])
        below, learned = kernel.backward(above, False)
    return [*tops, *below, *learned]


@pytest.mark.parametrize("name", LAYERS)
def test_a_kernel_computes_what_autograd_does(name: str) -> None:
    text = f'layer {{ name: "l" type: "{type_of(name)}" bottom: "x" top: "y" {LAYERS[name]} }}\n'
    net = net_of(IMAGES + text)
    node = net.graph.nodes[-1]
    wants, learns = [True], [True] * len(node.weights)
    kernel = node.layer.make_kernel(net.run, wants, learns)
    assert kernel is not None
    x = net.arranged(torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 9, 8)).astype(np.float32)))
    weights = [parameter.tensor for parameter in net.parameters]
    ours = computed(kernel, net, [x], weights)
    theirs = computed(TapedKernel(node, wants, learns), net, [x], weights)
    assert len(ours) == len(theirs) == 2 + len(weights)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


needs_onednn = pytest.mark.skipif(not products._onednn()[0], reason="this torch has no products by oneDNN")


@needs_onednn
@pytest.mark.parametrize("transpose", ["false", "true"])
@pytest.mark.parametrize(("samples", "avx512", "called"), [(8, False, 3), (40, True, 2), (40, False, 0), (4, True, 0)])
def test_products_are_the_same_whoever_computes_them(
    samples: int, avx512: bool, called: int, transpose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, outputs = 400, 1000
    net = net_of(f"""
    layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: {samples} dim: {inputs} }} }} }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param {{ num_output: {outputs} transpose: {transpose} {FILLED} }} }}""")
    by_onednn, calls = products._by_onednn, []
    monkeypatch.setattr(products, "_onednn", lambda: (True, avx512))
    monkeypatch.setattr(products, "_by_onednn", lambda *given: calls.append(1) or by_onednn(*given))
    kernel = net.graph.nodes[-1].layer.make_kernel(net.run, [True], [True, True])
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((samples, inputs)).astype(np.float32))
    weights = [parameter.tensor for parameter in net.parameters]
    y, below, weight, bias = computed(kernel, net, [x], weights)
    assert len(calls) == called
    w, b = (one.detach().double() for one in weights)
    w = w if transpose == "false" else w.t()
    above = (torch.arange(y.numel(), dtype=torch.double) * 0.1 + 0.1).reshape(y.shape)
    gradient = above.t() @ x.double()
    gradient = gradient if transpose == "false" else gradient.t()
    wanted = [x.double() @ w.t() + b, above @ w, gradient, above.sum(0)]
    for mine, exact in zip([y, below, weight, bias], wanted, strict=True):
        assert mine.shape == exact.shape
        assert float((mine - exact).abs().max() / exact.abs().max()) < 1e-6


@pytest.mark.parametrize("text", ["pool: MAX kernel_size: 2 stride: 3", "pool: STOCHASTIC kernel_size: 2"])
def test_windows_that_are_not_torchs_have_no_kernel(text: str) -> None:
    """With stride 3 the last window of the 8 columns lies beyond them, and is empty."""
    net = net_of(f'{IMAGES} layer {{ name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param {{ {text} }} }}')
    assert net.graph.nodes[-1].layer.make_kernel(net.run, [True], []) is None


def test_a_forward_of_somebody_elses_has_no_kernel() -> None:
    class Doubled(InnerProduct):
        def forward(self, run: Any, bottoms: Any, weights: Any) -> Any:
            return tuple(2 * top for top in super().forward(run, bottoms, weights))

    losses = []
    for factor in (1, 2):
        net = filled(IMAGES + CONVOLUTION + POOL + LOSS)
        node = next(node for node in net.graph.nodes if node.type == "InnerProduct")
        if factor == 2:
            node.layer.__class__ = Doubled
        else:
            for parameter in net.params["ip"]:
                parameter.data[...] *= 2
        losses.append(float(net.forward_backward()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_one_product_of_all_of_a_bottom_of_many_rows() -> None:
    net = net_of(f"""
    layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 40 dim: 3 }} }} }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param {{ num_output: 5 axis: 0 {FILLED} }} }}""")
    kernel = net.graph.nodes[-1].layer.make_kernel(net.run, [True], [True, True])
    x = torch.linspace(-2, 3, 120).reshape(40, 3)
    weights = [parameter.tensor for parameter in net.parameters]
    y, below, *_ = computed(kernel, net, [x], weights)
    above = (torch.arange(5.0) * 0.1 + 0.1).double()
    w = weights[0].detach().double()
    wanted = w @ x.flatten().double() + weights[1].detach().double()
    torch.testing.assert_close(y.double(), wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(below.double(), (above @ w).view(40, 3), rtol=1e-5, atol=1e-6)


LYING = {
    "as they are": lambda x: x,
    "other axis first": lambda x: x.t().contiguous().t() if x.dim() == 2 else x,
    "with gaps": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "in larger memory": lambda x: torch.cat([x, x, x], -1)[..., x.shape[-1] : 2 * x.shape[-1]],
    "one row again and again": lambda x: x[:1].expand(x.shape),
    "one value again and again": lambda x: x.flatten()[0].expand(x.shape),
}


@needs_onednn
@pytest.mark.parametrize("lying", LYING)
@pytest.mark.parametrize("which", range(3))
def test_products_by_onednn_of_tensors_however_they_lie(which: int, lying: str) -> None:
    random = np.random.default_rng(1)
    given = [torch.from_numpy(random.standard_normal(shape).astype(np.float32)) for shape in ((8, 40), (50, 40), (50,))]
    given[which] = LYING[lying](given[which])
    x, weight, bias = (one.double() for one in given)
    torch.testing.assert_close(products._by_onednn(*given).double(), x @ weight.t() + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("columns", [False, True])
def test_a_loss_of_samples_in_rows_or_columns(columns: bool) -> None:
    net = net_of("""
    layer { name: "in" type: "Input" top: "x" top: "label" input_param { shape { dim: 6 dim: 4 } shape { dim: 6 } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "loss" }""")
    kernel = net.graph.nodes[-1].layer.make_kernel(net.run, [True, False], [])
    scores, label = torch.linspace(-3, 4, 24).cos().reshape(6, 4) * 3, torch.tensor([0.0, 3, 1, 1, 2, 0])
    given = scores.t().contiguous().t() if columns else scores
    loss, below, none = computed(kernel, net, [given, label], [])
    exact = scores.double().requires_grad_()
    wanted = torch.nn.functional.cross_entropy(exact, label.long())
    wanted.backward()
    assert none is None
    assert float(loss) == pytest.approx(float(wanted.detach()), rel=1e-6)
    torch.testing.assert_close(below, 0.1 * exact.grad, rtol=1e-5, atol=1e-7, check_dtype=False)


# -- several layers in one ----------------------------------------------------------------------------------------

CONVOLUTION = f"""
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILLED} }} }}
"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }\n'
POOL = """
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
"""
LOSS = f"""
layer {{ name: "ip" type: "InnerProduct" bottom: "p" top: "score" inner_product_param {{ num_output: 3 {FILLED} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }}
"""


def filled(text: str, observed: bool = False, keeping: Sequence[str] = ()) -> Net:
    net = Net(graph_of(text, TRAIN).keeping(keeping), seed=4, observed=observed)
    net.blobs["x"].data[...] = np.random.default_rng(1).standard_normal(net.blobs["x"].shape)
    net.blobs["label"].data[...] = [0, 2, 1, 2]
    return net


def joins(net: Net) -> list[bool]:
    return [turn.kernel.rectified for turn in net.fast_plan.turns if isinstance(turn.kernel, PooledConvolutionKernel)]


@pytest.mark.parametrize("between", ["", RELU])
def test_maxima_of_a_convolution_are_one_turn_with_the_same_numbers(between: str) -> None:
    text = IMAGES + CONVOLUTION + between + POOL + LOSS
    fast, seen = filled(text), filled(text, observed=True)
    assert joins(fast) == [bool(between)]
    for _ in range(2):  # gradients add up
        losses = [float(net.forward_backward()) for net in (fast, seen)]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
        for mine, other in zip(fast.parameters, seen.parameters, strict=True):
            np.testing.assert_allclose(mine.diff, other.diff, rtol=1e-4, atol=1e-6)


def test_what_somebody_reads_is_not_joined() -> None:
    reader = 'layer { name: "r" type: "Reduction" bottom: "c" top: "sum" }\n'
    assert joins(filled(IMAGES + CONVOLUTION + POOL + reader + LOSS)) == []
    assert joins(filled(IMAGES + CONVOLUTION + POOL + LOSS, keeping=["c"])) == []
    leaking = RELU.replace("ReLU", 'ReLU" relu_param { negative_slope: 0.1 } name: "').replace(' name: ""', "")
    assert joins(filled(IMAGES + CONVOLUTION + leaking + POOL + LOSS)) == []


# -- memory -------------------------------------------------------------------------------------------------------


def overwriting(net: Net) -> list[bool]:
    return [turn.kernel.overwrites for turn in net.fast_plan.turns if isinstance(turn.kernel, ReLUKernel)]


def test_relu_works_in_its_bottoms_memory_only_where_nobody_else_reads_that() -> None:
    end = LOSS.replace('"p"', '"y"')
    relu = 'layer { name: "relu" type: "ReLU" bottom: "c" top: "y" }\n'
    reader = 'layer { name: "r" type: "Reduction" bottom: "c" top: "sum" }\n'
    sigmoid = 'layer { name: "s" type: "Sigmoid" bottom: "x" top: "c" }\n'
    assert overwriting(filled(IMAGES + CONVOLUTION + relu + end)) == [True]
    assert overwriting(filled(IMAGES + CONVOLUTION + relu + reader + end)) == [False]
    assert overwriting(filled(IMAGES + CONVOLUTION + relu + end, keeping=["c"])) == [False]
    assert overwriting(filled(IMAGES + sigmoid + relu + end)) == [False], "sigmoid's backward reads its top"
    inputs = filled(IMAGES + relu.replace('"c"', '"x"') + end)
    assert overwriting(inputs) == [False]
    before = inputs.blobs["x"].data.copy()
    inputs.forward()
    assert np.array_equal(inputs.blobs["x"].data, before)


MANY_WEIGHTS = f"""
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "score" inner_product_param {{ num_output: 5000 {FILLED} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }}
"""


def test_the_gradient_of_a_large_weight_has_one_memory() -> None:
    net = filled(IMAGES + MANY_WEIGHTS)
    weight = net.params["ip"][0].owner
    places = set()
    for _ in range(3):
        net.clear_gradients()
        net.forward_backward()
        places.add(weight.grad.data_ptr())
    assert len(places) == 1


def test_but_not_while_somebody_holds_what_was_in_it() -> None:
    net = filled(IMAGES + MANY_WEIGHTS)
    weight = net.params["ip"][0].owner
    net.forward_backward()
    held = weight.grad
    before = held.clone()
    net.clear_gradients()
    net.params["ip"][0].data[...] *= 2
    net.forward_backward()
    assert torch.equal(held, before)
    assert not torch.equal(weight.grad, before)


def test_gradients_of_one_weight_in_two_layers_add_up() -> None:
    shared = """
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
      inner_product_param { num_output: 3 axis: 3 bias_term: false weight_filler { type: "xavier" } } }
    layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" param { name: "w" }
      inner_product_param { num_output: 3 axis: 3 bias_term: false weight_filler { type: "xavier" } } }
    layer { name: "s" type: "Eltwise" bottom: "a" bottom: "b" top: "p" }
    """
    fast, seen = filled(IMAGES + shared + LOSS), filled(IMAGES + shared + LOSS, observed=True)
    for _ in range(3):
        for net in (fast, seen):
            net.forward_backward()
        np.testing.assert_allclose(fast.params["a"][0].diff, seen.params["a"][0].diff, rtol=1e-4, atol=1e-6)


# -- labels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_named(label: int) -> None:
    net = filled(IMAGES + CONVOLUTION + POOL + LOSS)
    net.blobs["label"].data[2] = label
    with pytest.raises(LayerError, match=f"label of sample 2 must be a class from 0 to 2, got {label}"):
        net.forward_backward()
    net.blobs["label"].data[2] = 0
    assert np.isfinite(float(net.forward_backward()))


def test_a_pass_without_backward_keeps_nothing() -> None:
    net = net_of(IMAGES + CONVOLUTION + RELU + POOL + LOSS, TEST)
    net.forward()
    kept = [
        value
        for turn in net.fast_plan.turns
        for name, value in vars(turn.kernel).items()
        if name in ("_kept", "_mask", "_prob") and value is not None
    ]
    assert kept == []
