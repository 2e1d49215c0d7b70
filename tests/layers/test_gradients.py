"""Gradients against finite differences in float64, away from kinks."""

from __future__ import annotations

import pytest
import torch

from .alone import build, run_at

ONE = [
    'type: "AbsVal"',
    'type: "BNLL"',
    'type: "Dropout"',
    'type: "Power" power_param { scale: -2 shift: 1 }',
    'type: "Power" power_param { power: 2 scale: 0.5 shift: 0.3 }',
    'type: "Power" power_param { power: 3 scale: 0.5 }',
    'type: "Power" power_param { power: 3 scale: 0.5 shift: 5 }',
    'type: "Power" power_param { power: -1.5 scale: 0.1 shift: 5 }',
    'type: "Power" power_param { power: 0 }',
    'type: "Power" power_param { scale: 0 shift: 2 power: 3 }',
    'type: "ReLU"',
    'type: "ReLU" relu_param { negative_slope: 0.2 }',
    'type: "Sigmoid"',
    'type: "TanH"',
    'type: "Softmax"',
    'type: "Softmax" softmax_param { axis: -1 }',
    'type: "Bias" bias_param { axis: -2 num_axes: 2 }',
    'type: "Scale"',
    'type: "Scale" scale_param { num_axes: -1 bias_term: true }',
    'type: "Scale" scale_param { num_axes: 0 bias_term: true }',
    'type: "Reduction"',
    'type: "Reduction" reduction_param { operation: ASUM axis: 1 }',
    'type: "Reduction" reduction_param { operation: SUMSQ axis: -1 coeff: 0.5 }',
    'type: "Reduction" reduction_param { operation: MEAN axis: 1 coeff: -3 }',
    'type: "Flatten" flatten_param { axis: 0 end_axis: 1 }',
    'type: "Split" top: "z"',
    'type: "ELU" elu_param { alpha: 0.7 }',
    'type: "ELU" elu_param { alpha: -0.5 }',
    'type: "Exp"',
    'type: "Exp" exp_param { base: 3 scale: -0.5 shift: 0.7 }',
    'type: "Exp" exp_param { scale: 2 shift: -1 }',
    'type: "Log" log_param { scale: 2 shift: 5 }',
    'type: "Log" log_param { base: 0.3 scale: -0.5 shift: 3 }',
    'type: "Clip" clip_param { min: -1.05 max: 0.55 }',
    'type: "Clip" clip_param { min: 1 max: -1 }',
    'type: "Swish"',
    'type: "Swish" swish_param { beta: -1.5 }',
    'type: "Swish" swish_param { beta: 0 }',
    'type: "PReLU"',
    'type: "PReLU" prelu_param { channel_shared: true }',
    'type: "Slice" slice_param { axis: -1 } top: "z"',
    'type: "Slice" slice_param { slice_dim: 2 slice_point: 1 } top: "z"',
    'type: "Slice" slice_param { axis: 0 }',
    'type: "Reshape" reshape_param { shape { dim: 0 dim: 2 dim: -1 } axis: 1 }',
    'type: "Tile" tile_param { axis: -1 tiles: 3 }',
    'type: "MVN" mvn_param { normalize_variance: false }',
    'type: "MVN" mvn_param { normalize_variance: false across_channels: true }',
    'type: "MVN" mvn_param { eps: 0 across_channels: true }',
    'type: "MVN"',
]
THREE = [
    'type: "Concat" concat_param { axis: -1 }',
    'type: "Eltwise" eltwise_param { coeff: 2 coeff: -1 coeff: 0.5 }',
    'type: "Eltwise" eltwise_param { operation: PROD }',
    'type: "Eltwise" eltwise_param { operation: PROD stable_prod_grad: false }',
    'type: "Eltwise" eltwise_param { operation: MAX }',
]
LINED_UP = [
    ('type: "Bias" bias_param { axis: 0 }', (2, 3)),
    ('type: "Bias" bias_param { axis: 7 }', ()),
    ('type: "Scale"', (3, 2)),
    ('type: "Scale" scale_param { axis: 0 }', (2, 3, 2)),
    ('type: "Scale" scale_param { axis: -1 bias_term: true }', (2,)),
    ('type: "Scale" scale_param { bias_term: true }', ()),
]
BY_VALUES = [
    ('type: "BatchReindex"', [2.0, 0, 2, 1, 2]),
    ('type: "Filter"', [1.0, 0, -0.5]),
]
LABELLED = [
    'type: "SoftmaxWithLoss"',
    'type: "SoftmaxWithLoss" loss_param { ignore_label: 1 }',
    'type: "SoftmaxWithLoss" loss_param { ignore_label: 1 normalization: FULL }',
    'type: "SoftmaxWithLoss" loss_param { normalization: NONE }',
    'type: "SigmoidCrossEntropyLoss"',
    'type: "SigmoidCrossEntropyLoss" loss_param { ignore_label: 1 normalization: VALID }',
    'type: "InfogainLoss" bottom: "H"',
    'type: "InfogainLoss" bottom: "H" loss_param { ignore_label: 2 }',
    'type: "InfogainLoss" bottom: "H" loss_param { normalization: BATCH_SIZE }',
]


def _values(*shape: int, seed: int = 5) -> torch.Tensor:
    """Numbers of both signs, none closer to 0 than 0.1, all different."""
    count = int(torch.tensor(shape).prod())
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    steps = (order.double() - count / 2 + 0.5) / count * 4
    return (steps + 0.1 * steps.sign()).reshape(shape).requires_grad_()


def _differentiable(text: str, *bottoms: torch.Tensor) -> bool:
    """To the bottoms, and to the weights where the layer declares some."""
    layer, _ = build(text, *(tuple(bottom.shape) for bottom in bottoms), phase=0)
    weights = [_values(*spec.shape, seed=20 + index) for index, spec in enumerate(layer.weights)]

    def tops(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(layer.forward(run_at(), given[: len(bottoms)], given[len(bottoms) :]))

    return torch.autograd.gradcheck(tops, (*bottoms, *weights))


@pytest.mark.parametrize("text", ONE)
def test_one_bottom(text: str) -> None:
    assert _differentiable(f'name: "n" bottom: "x" top: "y" {text}', _values(2, 3, 4))


@pytest.mark.parametrize("text", THREE)
def test_three_bottoms(text: str) -> None:
    apart = (0.0, 0.01, 0.02)
    bottoms = [(_values(2, 3, 2, seed=seed) + apart[seed]).detach().requires_grad_() for seed in range(3)]
    assert _differentiable(f'bottom: "a" bottom: "b" bottom: "c" top: "y" {text}', *bottoms)


@pytest.mark.parametrize(("text", "second"), LINED_UP)
def test_a_smaller_second_bottom(text: str, second: tuple[int, ...]) -> None:
    assert _differentiable(f'bottom: "x" bottom: "z" top: "y" {text}', _values(2, 3, 2), _values(*second, seed=6))


@pytest.mark.parametrize("text", LABELLED)
def test_losses_with_labels(text: str) -> None:
    scores = _values(4, 3, 2)
    if "SigmoidCross" in text:
        labels = torch.linspace(0, 2, 24).double().reshape(4, 3, 2)
    else:
        labels = torch.tensor([[0, 1], [2, 1], [0, 0], [1, 2]]).double()
    rest = [_values(3, 3).detach()] if "Infogain" in text else []
    assert _differentiable(f'bottom: "x" bottom: "l" top: "y" {text}', scores, labels, *rest)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_loss(norm: str) -> None:
    text = f'type: "HingeLoss" bottom: "x" bottom: "l" top: "y" hinge_loss_param {{ norm: {norm} }}'
    assert _differentiable(text, _values(4, 3), torch.tensor([0, 2, 1, 1]).double())


def test_euclidean_loss_reaches_both_bottoms() -> None:
    text = 'type: "EuclideanLoss" bottom: "x" bottom: "l" top: "y"'
    assert _differentiable(text, _values(4, 3, 2, seed=1), _values(4, 6, seed=2))


@pytest.mark.parametrize(("text", "chosen"), BY_VALUES)
def test_samples_chosen_by_a_second_bottom(text: str, chosen: list[float]) -> None:
    assert _differentiable(f'bottom: "x" bottom: "i" top: "y" {text}', _values(3, 2, 2), torch.tensor(chosen))


def test_two_bottoms_filtered_by_a_third() -> None:
    text = 'type: "Filter" bottom: "x" bottom: "z" bottom: "s" top: "a" top: "b"'
    assert _differentiable(text, _values(4, 2), _values(4, 1, 3, seed=2), torch.tensor([[0.0], [1.0], [2.0], [0.0]]))


@pytest.mark.parametrize("settings", ["", "crop_param { axis: -2 offset: 1 offset: 0 }", "crop_param { axis: 1 }"])
def test_crop(settings: str) -> None:
    axis = {"": 2}.get(settings, 1)
    shape = tuple(1 + size if at >= axis else size for at, size in enumerate((2, 2, 2)))
    text = f'type: "Crop" bottom: "x" bottom: "s" top: "y" {settings}'
    assert _differentiable(text, _values(*shape), torch.zeros(2, 2, 2))


@pytest.mark.parametrize("bias", ["true", "false"])
def test_embed_reaches_its_weights(bias: str) -> None:
    text = f'type: "Embed" bottom: "x" top: "y" embed_param {{ input_dim: 4 num_output: 3 bias_term: {bias} }}'
    assert _differentiable(text, torch.tensor([[3.0, 0, 3], [1, 1.5, 3]]))


def test_parameter_reaches_its_weight() -> None:
    assert _differentiable('type: "Parameter" top: "y" parameter_param { shape { dim: 2 dim: 3 } }')


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), (2, 3, 2, 2), (2, 3, 2, 1, 2)])
@pytest.mark.parametrize("settings", ["", "use_global_stats: true", "eps: 0.1"])
def test_batch_norm_reaches_its_bottom(settings: str, shape: tuple[int, ...]) -> None:
    text = f'type: "BatchNorm" bottom: "x" top: "y" batch_norm_param {{ {settings} }}'
    layer, _ = build(text, shape, phase=0)
    statistics = [torch.tensor([0.5, -1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0]), torch.tensor([2.0])]
    assert torch.autograd.gradcheck(
        lambda x: tuple(layer.forward(run_at(), [x], [value.double() for value in statistics])), (_values(*shape),)
    )


def test_multinomial_logistic_loss() -> None:
    probabilities = _values(4, 3, 2).detach().abs().requires_grad_()
    text = 'type: "MultinomialLogisticLoss" bottom: "x" bottom: "l" top: "y"'
    assert _differentiable(text, probabilities, torch.tensor([[0.0], [5], [2], [2]]))


@pytest.mark.parametrize("settings", ["margin: 9", "margin: 2.5", "margin: 6 legacy_version: true"])
def test_contrastive_loss_reaches_both_vectors(settings: str) -> None:
    text = (
        f'type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "l" top: "y" contrastive_loss_param {{ {settings} }}'
    )
    pairs = (_values(6, 3, seed=1), _values(6, 3, 1, 1, seed=2))
    assert _differentiable(text, *pairs, torch.tensor([0.0, 1, 0, 1, 0, 0.9]))


def _gradient(text: str, *bottoms: torch.Tensor) -> list[torch.Tensor]:
    layer, _ = build(text, *(tuple(bottom.shape) for bottom in bottoms))
    given = [bottom.requires_grad_() for bottom in bottoms]
    (top,) = layer.forward(run_at(), given, [])
    return list(torch.autograd.grad(top.sum(), given))


def test_kinks_are_the_originals() -> None:
    zero = torch.zeros(3)
    assert _gradient('type: "AbsVal" bottom: "x" top: "y"', zero.clone())[0].tolist() == [0, 0, 0]
    assert _gradient('type: "ReLU" bottom: "x" top: "y"', zero.clone())[0].tolist() == [0, 0, 0]
    asum = 'type: "Reduction" bottom: "x" top: "y" reduction_param { operation: ASUM }'
    assert _gradient(asum, torch.tensor([0.0, -2.0, 3.0]))[0].tolist() == [0, -1, 1]
    leaky = _gradient('type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: 0.5 }', zero.clone())
    assert leaky[0].tolist() == [0.5, 0.5, 0.5]
    elu = _gradient('type: "ELU" bottom: "x" top: "y" elu_param { alpha: 0.5 }', zero.clone())
    assert elu[0].tolist() == [0.5, 0.5, 0.5]
    bounds = torch.tensor([-1.0, -1.01, 2.0, 2.01])
    clipped = _gradient('type: "Clip" bottom: "x" top: "y" clip_param { min: -1 max: 2 }', bounds)
    assert clipped[0].tolist() == [1, 0, 1, 0]
    cube = _gradient('type: "Power" bottom: "x" top: "y" power_param { power: 3 }', torch.tensor([0.0, 2.0]))[0]
    assert cube[0].isnan() and cube[1] == 12


def test_ties_of_max_go_to_the_second_bottom_and_then_to_the_earlier() -> None:
    text = 'type: "Eltwise" bottom: "a" bottom: "b" bottom: "c" top: "y" eltwise_param { operation: MAX }'
    bottoms = [torch.tensor([1.0, 3.0, 0.0]), torch.tensor([1.0, 0.0, 2.0]), torch.tensor([1.0, 3.0, 2.0])]
    assert [g.tolist() for g in _gradient(text, *bottoms)] == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_hinge_gradient_is_zero_on_the_margin() -> None:
    layer, _ = build('type: "HingeLoss" bottom: "x" bottom: "l" top: "y"', (1, 2), (1,))
    scores = torch.tensor([[1.0, -1.0]], requires_grad=True)
    (loss,) = layer.forward(run_at(), [scores, torch.zeros(1)], [])
    assert loss == 0
    assert torch.autograd.grad(loss, scores)[0].tolist() == [[0, 0]]
