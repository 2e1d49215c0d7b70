"""CenterLoss, MarginInnerProduct, InnerDistance, L1Loss and JSDLoss against plain loops over the forks' formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.proto import TRAIN

from ..nets import net_of
from .alone import build, run_at

Arrays = list[np.ndarray]


def run(text: str, bottoms: Arrays, weights: Arrays = (), above: np.ndarray | float = 1.0, position: int = 0) -> Any:
    """The tops, the gradients of bottoms and weights that want one, and the weights afterwards."""
    layer, shapes = build(text, *(bottom.shape for bottom in bottoms), phase=TRAIN)
    given = [torch.tensor(array, dtype=torch.double) for array in bottoms]
    kept = [torch.tensor(array, dtype=torch.double).requires_grad_() for array in weights]
    assert [spec.shape for spec in layer.weights] == [tuple(weight.shape) for weight in kept]
    wanted = [x.requires_grad_() for at, x in enumerate(given) if at not in layer.ungraded] + kept
    tops = layer.forward(run_at(position), given, kept)
    assert [tuple(top.shape) for top in tops] == shapes
    start = torch.tensor(above, dtype=torch.double).expand(tops[0].shape)
    gradients = torch.autograd.grad(tops[0], wanted, start)
    return [top.detach().numpy() for top in tops], [g.numpy() for g in gradients], [w.detach().numpy() for w in kept]


# -- CenterLoss -----------------------------------------------------------------------------------------------------


def test_center_loss() -> None:
    """Loops of `center_loss_layer.cpp`: the centres' gradient does not know the loss weight, here 3."""
    chance = np.random.default_rng(1)
    x, centers, labels = (
        chance.standard_normal((6, 2, 2)),
        chance.standard_normal((4, 4)),
        np.array([0, 2, 2, 3.9, 0, 2]),
    )
    loss, of_x, of_centers = 0.0, np.zeros((6, 4)), np.zeros((4, 4))
    flat = x.reshape(6, 4)
    for m in range(6):
        apart = flat[m] - centers[int(labels[m])]
        loss += (apart**2).sum() / 6 / 2
        of_x[m] = 3 * apart / 6
    for n in range(4):
        own = [m for m in range(6) if int(labels[m]) == n]
        for m in own:
            of_centers[n] -= (flat[m] - centers[n]) / (len(own) + 1)
    text = 'type: "CenterLoss" dialect: "ydwen" bottom: "x" bottom: "l" top: "y" center_loss_param { num_output: 4 }'
    (y,), gradients, _ = run(text, [x, labels], [centers], above=3.0)
    assert y == pytest.approx(loss)
    np.testing.assert_allclose(gradients[0].reshape(6, 4), of_x, rtol=1e-12)
    np.testing.assert_allclose(gradients[1], of_centers, rtol=1e-12)


# -- MarginInnerProduct ---------------------------------------------------------------------------------------------

MARGIN = 'bottom: "x" bottom: "l" top: "y" top: "k"'


def psi(cosine: float, times: int) -> tuple[float, float]:
    """(−1)ᵏ·cos(mθ) − 2k of Liu et al., 2017, equation 7, and its slope by cos θ, by sin(mθ)/sin θ."""
    theta = math.acos(cosine)
    k = min(int(theta * times / math.pi), times - 1)
    return (-1) ** k * math.cos(times * theta) - 2 * k, (-1) ** k * times * math.sin(times * theta) / math.sin(theta)


@pytest.mark.parametrize(("kind", "times"), [("SINGLE", 1), ("DOUBLE", 2), ("TRIPLE", 3), ("QUADRUPLE", 4)])
def test_margin_inner_product(kind: str, times: int) -> None:
    """psi by angles; the gradients as `margin_inner_product_layer.cpp` combines them."""
    chance = np.random.default_rng(times)
    x, weight, above = (chance.standard_normal(shape) for shape in ((12, 3), (5, 3), (12, 5)))
    labels = chance.integers(0, 5, 12).astype(float)
    base, gamma, power, iteration, position = 20.0, 0.5, 2.0, 7, 3
    mix = base * (1 + gamma * (iteration + position + 1)) ** -power
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    want, of_x, product = np.zeros((12, 5)), np.zeros((12, 3)), x @ unit.T
    for m, label in enumerate(labels.astype(int)):
        length = np.linalg.norm(x[m])
        for n in range(5):
            want[m, n] = product[m, n]
            direction = unit[n]
            if n == label and times > 1:
                value, slope = psi(product[m, n] / length, times)
                want[m, n] = (length * value + mix * product[m, n]) / (1 + mix)
                of_w, along_x = slope, (value - product[m, n] / length * slope) / length
                norm = math.hypot(of_w, along_x)
                direction = ((of_w * unit[n] + along_x * x[m]) / norm + mix * unit[n]) / (1 + mix)
            of_x[m] += above[m, n] * direction
    settings = f"""margin_inner_product_param {{
        num_output: 5 type: {kind} base: {base} gamma: {gamma} power: {power} iteration: {iteration} }}"""
    text = f'type: "MarginInnerProduct" {MARGIN} {settings}'
    (y, told), gradients, (stored,) = run(text, [x, labels], [weight], above, position)
    assert told == pytest.approx(mix)
    np.testing.assert_allclose(stored, unit, rtol=1e-12)
    np.testing.assert_allclose(y, want, rtol=1e-9)
    np.testing.assert_allclose(gradients[0], of_x, rtol=1e-9)
    np.testing.assert_allclose(gradients[1], above.T @ x, rtol=1e-12)


@pytest.mark.parametrize(("kind", "times"), [("SINGLE", 1), ("DOUBLE", 2), ("TRIPLE", 3), ("QUADRUPLE", 4)])
def test_large_margin_inner_product(kind: str, times: int) -> None:
    """psi by angles; gradients as `largemargin_inner_product_layer.cpp` writes them out."""
    chance = np.random.default_rng(times)
    x, weight, above = (chance.standard_normal(shape) for shape in ((12, 3), (5, 3), (12, 5)))
    labels = chance.integers(0, 5, 12).astype(float)
    mix = 8 * (1 + 0.5 * (3 + 4)) ** -2.0
    want, of_x, of_w = x @ weight.T, np.zeros((12, 3)), np.zeros((5, 3))
    for m, n in np.ndindex(12, 5):
        to_x, to_w = weight[n], x[m]
        if n == int(labels[m]) and times > 1:
            length, norm = np.linalg.norm(x[m]), np.linalg.norm(weight[n])
            cosine = x[m] @ weight[n] / (length * norm)
            value, slope = psi(cosine, times)
            rest = value - cosine * slope
            to_x = (slope * weight[n] + norm / length * rest * x[m] + mix * weight[n]) / (1 + mix)
            to_w = (slope * x[m] + length / norm * rest * weight[n] + mix * x[m]) / (1 + mix)
            want[m, n] = (length * norm * value + mix * want[m, n]) / (1 + mix)
        of_x[m] += above[m, n] * to_x
        of_w[n] += above[m, n] * to_w
    settings = f"""largemargin_inner_product_param {{
        num_output: 5 type: {kind} base: 8 gamma: 0.5 power: 2 iteration: 4 lambda_min: 0.1 }}"""
    text = f'type: "LargeMarginInnerProduct" {MARGIN} {settings}'
    (y, told), gradients, (kept,) = run(text, [x, labels], [weight], above, 2)
    assert told == pytest.approx(mix)
    np.testing.assert_array_equal(kept, weight)
    for got, wanted in zip((y, *gradients), (want, of_x, of_w), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)  # the fork adds 1e-9 to |x|·|w|


@pytest.mark.parametrize(
    "text",
    [
        'type: "MarginInnerProduct" margin_inner_product_param { num_output: 2 base: 1000 gamma: 0.12 lambda_min: 5 }',
        'type: "LargeMarginInnerProduct" largemargin_inner_product_param { num_output: 2 '
        "base: 1000 gamma: 0.12 lambda_min: 5 }",
    ],
)
def test_lambda_does_not_fall_below_its_least(text: str) -> None:
    layer, tops = build(f'bottom: "x" bottom: "l" top: "y" {text}', (3, 4), (3,))
    assert tops == [(3, 2)]
    assert layer.mix(0) == pytest.approx(1000 / 1.12)
    assert layer.mix(10**6) == 5


# -- InnerDistance --------------------------------------------------------------------------------------------------


def distances(x: np.ndarray, w: np.ndarray, above: np.ndarray, power: int, labels: Any = None) -> Arrays:
    """Loops of `inner_distance_layer.cpp`: y, dx, dw."""
    y, of_x, of_w = np.zeros((len(x), len(w))), np.zeros(x.shape), np.zeros(w.shape)
    for m in range(len(x)):
        for n in range(len(w)):
            apart = x[m] - w[n]
            y[m, n] = (np.abs(apart) ** power).sum()
            slope = above[m, n] * (2 * apart if power == 2 else np.sign(apart))
            of_x[m] += slope
            if labels is None or int(labels[m]) == n:
                of_w[n] -= slope
    return [y, of_x, of_w]


@pytest.mark.parametrize(("kind", "power"), [("L2", 2), ("L1", 1)])
@pytest.mark.parametrize("shape", [(6, 4), (6, 2, 2), (2, 3, 4)])
def test_inner_distance(shape: tuple[int, ...], kind: str, power: int) -> None:
    axis = 2 if shape[0] == 2 else 1
    chance = np.random.default_rng(1)
    x, weight, above = chance.standard_normal(shape), chance.standard_normal((3, 4)), chance.standard_normal((6, 3))
    settings = f'inner_distance_param {{ num_output: 3 axis: {axis} distance_type: "{kind}" }}'
    text = f'type: "InnerDistance" bottom: "x" top: "y" {settings}'
    (y,), gradients, _ = run(text, [x], [weight], above.reshape(*shape[:axis], 3))
    want = distances(x.reshape(6, 4), weight, above, power)
    for got, wanted in zip((y, *gradients), want, strict=True):
        np.testing.assert_allclose(got.ravel(), wanted.ravel(), rtol=1e-10)


def test_inner_distance_to_unit_vectors_changes_the_weight() -> None:
    x, weight = np.eye(4)[:2], np.array([[3.0, 4, 0, 0], [0, 0, 0, 2]])
    text = 'type: "InnerDistance" bottom: "x" top: "y" inner_distance_param { num_output: 2 normalize: true }'
    (y,), _, (stored,) = run(text, [x], [weight])
    np.testing.assert_allclose(stored, [[0.6, 0.8, 0, 0], [0, 0, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(y, [[0.8, 2], [0.4, 2]], rtol=1e-6)


@pytest.mark.parametrize(("kind", "power"), [("L2", 2), ("L1", 1)])
@pytest.mark.parametrize("labelled", [False, True])
def test_inner_distance_to_a_second_bottom(kind: str, power: int, labelled: bool) -> None:
    chance = np.random.default_rng(2)
    x, vectors, above = (chance.standard_normal(shape) for shape in ((5, 4), (3, 4), (5, 3)))
    labels = np.array([0, 1.5, 2, 7, 1])
    text = 'bottom: "l"' if labelled else ""
    settings = f'distance_type: "{kind}" update_center_only: {str(labelled).lower()}'
    text = f'type: "InnerDistance" bottom: "x" bottom: "v" {text} top: "y" inner_distance_param {{ {settings} }}'
    (y,), gradients, _ = run(text, [x, vectors, *([labels] if labelled else [])], [], above)
    want = distances(x, vectors, above, power, labels if labelled else None)
    for got, wanted in zip((y, *gradients), want, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-10)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ("inner_distance_param { num_output: 3 bias_term: true }", "bias_term"),
        ("inner_distance_param { num_output: 3 bias_filler { value: 7 } }", "bias_filler"),
    ],
)
def test_inner_distance_has_no_bias(settings: str, name: str) -> None:
    layer, _ = build(f'type: "InnerDistance" bottom: "x" top: "y" {settings}', (6, 4))
    assert [spec.shape for spec in layer.weights] == [(3, 4)]
    (warning,) = layer.warnings()
    assert warning.message == f"{name} has no effect: the layer has no bias"


# -- L1Loss and JSDLoss ---------------------------------------------------------------------------------------------


def test_l1_loss() -> None:
    a, b = np.array([[1.0, -2, 3], [4, 5, -6]]), np.array([[[2.0], [-2], [1]], [[7], [5], [0]]])
    (y,), gradients, _ = run('type: "L1Loss" bottom: "a" bottom: "b" top: "y"', [a, b], above=4.0)
    assert y == (1 + 0 + 2 + 3 + 0 + 6) / 2
    sign = np.array([[-1, 0, 1], [-1, 0, -1]])
    np.testing.assert_array_equal(gradients[0], 2 * sign)
    np.testing.assert_array_equal(gradients[1].reshape(2, 3), -2 * sign)


def test_jsd_loss() -> None:
    """Loops of `jsd_loss_layer.cpp`."""
    p = np.array([[0.1, 0.2, 0.7], [1e-6, 0.4, 0.6], [0.5, 0.5, 0.0]])
    q = np.array([[0.3, 0.3, 0.4], [0.5, 0.5, 1e-7], [0.5, 0.4, 0.1]])
    loss, of_p = 0.0, np.zeros(p.shape)
    for at in np.ndindex(*p.shape):
        if p[at] <= 1e-5:
            loss += q[at] * math.log(2)
        elif q[at] <= 1e-5:
            loss += p[at] * math.log(2)
        else:
            total = p[at] + q[at]
            loss += p[at] * math.log(2 * p[at]) + q[at] * math.log(2 * q[at]) - total * math.log(total)
        with np.errstate(divide="ignore"):
            of_p[at] = 0.5 * (math.log(2) if q[at] <= 1e-5 else np.log(2 * p[at] / (p[at] + q[at])))
    (y,), (gradient,), _ = run('type: "JSDLoss" bottom: "p" bottom: "q" top: "y"', [p, q], above=6.0)
    assert y == pytest.approx(loss / 2 / 3)
    np.testing.assert_allclose(gradient, of_p * 6 / 3, rtol=1e-12)


# -- in nets --------------------------------------------------------------------------------------------------------

TRAINED = """
layer {{ name: "in" type: "Input" top: "x" top: "label"
  input_param {{ shape {{ dim: 6 dim: 4 }} shape {{ dim: 6 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "f"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
{}
"""
NETS = {
    "MarginInnerProduct": """
    layer { name: "l" type: "MarginInnerProduct" bottom: "f" bottom: "label" top: "y" margin_inner_product_param {
      num_output: 5 type: TRIPLE base: 2 gamma: 1 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }""",
    "LargeMarginInnerProduct": """
    layer { name: "l" type: "LargeMarginInnerProduct" bottom: "f" bottom: "label" top: "y"
      largemargin_inner_product_param { num_output: 5 type: DOUBLE base: 2 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }""",
    "CenterLoss": """
    layer { name: "l" type: "CenterLoss" dialect: "ydwen" bottom: "f" bottom: "label" top: "loss" loss_weight: 0.1
      center_loss_param { num_output: 5 center_filler { type: "xavier" } } }""",
    "InnerDistance": """
    layer { name: "l" type: "InnerDistance" bottom: "f" top: "y"
      inner_distance_param { num_output: 5 normalize: true weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }""",
}


@pytest.mark.parametrize("kind", NETS)
def test_both_plans_train_alike(kind: str) -> None:
    """By hand, w − 0.1·dw, so that what a forward writes into a weight is there in the next."""
    chance = np.random.default_rng(1)
    x, labels = chance.standard_normal((4, 6, 4)), chance.integers(0, 5, (4, 6))
    nets = [net_of(TRAINED.format(NETS[kind]), TRAIN, observed=observed) for observed in (False, True)]
    for step in range(4):
        told = []
        for net in nets:
            net.blobs["x"].data[...], net.blobs["label"].data[...] = x[step], labels[step]
            told.append(float(net.forward_backward()))
            for name in ("ip", "l"):
                for blob in net.params[name]:
                    blob.data[...] -= 0.1 * blob.diff
                    blob.diff[...] = 0
        assert told[0] == pytest.approx(told[1], rel=1e-5)
        for one, other in zip(nets[0].params["l"], nets[1].params["l"], strict=True):
            np.testing.assert_allclose(one.data, other.data, rtol=1e-4, atol=1e-6)


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shapes", "told"),
    [
        (
            'type: "CenterLoss" dialect: "ydwen" center_loss_param { num_output: 0 }',
            [(4, 2), (4,)],
            "num_output must be positive, got 0",
        ),
        (
            'type: "CenterLoss" dialect: "ydwen" center_loss_param { num_output: 3 distance_type: "L1" }',
            [(4, 2), (4,)],
            'distance_type must be "L2", got "L1"',
        ),
        (
            'type: "CenterLoss" dialect: "ydwen" center_loss_param { num_output: 3 }',
            [(4, 2), (4, 2)],
            "needs one label per sample: 4, got 8 labels of shape (4, 2)",
        ),
        (
            'type: "CenterLoss" dialect: "ydwen" center_loss_param { num_output: 3 axis: 0 }',
            [(4, 2), (4,)],
            "axis must be 1, as axis 0 counts the samples, got 0",
        ),
        (
            'type: "MarginInnerProduct" margin_inner_product_param { }',
            [(4, 2), (4,)],
            "num_output must be positive, got 0",
        ),
        (
            'type: "MarginInnerProduct" margin_inner_product_param { num_output: 3 }',
            [(4, 2), (5,)],
            "needs one label per sample: 4, got 5 labels of shape (5,)",
        ),
        (
            'type: "MarginInnerProduct" margin_inner_product_param { num_output: 3 axis: 2 }',
            [(4, 2, 3), (4,)],
            "axis must be 1, as axis 0 counts the samples, got 2",
        ),
        (
            'type: "LargeMarginInnerProduct" largemargin_inner_product_param { num_output: 3 axis: -1 }',
            [(4, 2, 3), (4,)],
            "axis must be 1, as axis 0 counts the samples, got -1",
        ),
        (
            'type: "InnerDistance" inner_distance_param { num_output: 3 transpose: true }',
            [(4, 2)],
            "transpose must be false: the fork reads the weight as it was, got True",
        ),
        (
            'type: "InnerDistance" inner_distance_param { num_output: 3 }',
            [(4, 2), (5, 3)],
            "needs vectors of 2 values, got (5, 3)",
        ),
        (
            'type: "InnerDistance" inner_distance_param { distance_type: "L3" }',
            [(4, 2), (5, 2)],
            'distance_type must be "L1" or "L2", got "L3"',
        ),
        (
            'type: "InnerDistance" inner_distance_param { update_center_only: true }',
            [(4, 2), (5, 2)],
            "needs three bottoms with update_center_only: true (x, vectors, labels), and else one or two; got 2",
        ),
        (
            'type: "L1Loss"',
            [(4, 2), (4, 3)],
            "its bottoms must have as many elements per sample, got 2 (shape (4, 2)) and 3 (shape (4, 3))",
        ),
        (
            'type: "JSDLoss"',
            [(4, 2), (4, 3)],
            "its bottoms must have as many elements per sample, got 2 (shape (4, 2)) and 3 (shape (4, 3))",
        ),
    ],
)
def test_faults(text: str, shapes: list[tuple[int, ...]], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        build(f'bottom: "x" bottom: "l" top: "y" {text}', *shapes)
    assert [fault.message for fault in raised.value.faults] == [told]


@pytest.mark.parametrize("kind", ["CenterLoss", "MarginInnerProduct"])
def test_a_label_that_is_no_class_is_told(kind: str) -> None:
    settings = {"CenterLoss": "center_loss_param", "MarginInnerProduct": "margin_inner_product_param"}[kind]
    fork = 'dialect: "ydwen"' if kind == "CenterLoss" else ""
    text = f'type: "{kind}" {fork} bottom: "x" bottom: "l" top: "y" {settings} {{ num_output: 3 }}'
    with pytest.raises(LayerError, match="label of sample 1 must be a class from 0 to 2, got 3"):
        run(text, [np.ones((2, 2)), np.array([0.0, 3])], [np.ones((3, 2))])


def test_settings_about_a_bias_are_warned_about() -> None:
    settings = "num_output: 2 bias_term: true bias_filler { }"
    text = f'type: "InnerDistance" bottom: "x" top: "y" inner_distance_param {{ {settings} }}'
    layer, _ = build(text, (2, 3))
    assert [fault.message for fault in layer.warnings()] == [
        "bias_term has no effect: the layer has no bias",
        "bias_filler has no effect: the layer has no bias",
    ]
