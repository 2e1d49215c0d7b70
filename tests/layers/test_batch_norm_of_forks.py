"""BatchNorm with the scale and shift of NVIDIA/caffe, and with intel/caffe's statistics of parts of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.proto import TEST, TRAIN
from caffelite.upgrade import upgrade_net

from ..upgrade.nets import asked
from ..upgrade.nets import net as net_message
from .alone import build, run_at

SHAPE = (4, 3, 2, 2)


def batch(step: int) -> np.ndarray:
    return np.random.default_rng(step).normal(step, 1 + step, SHAPE)


def normalised(x: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float) -> np.ndarray:
    shape = (1, -1, 1, 1)
    return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)


def text(settings: str, more: str = "") -> str:
    return f'name: "bn" type: "BatchNorm" bottom: "x" top: "y" {more} batch_norm_param {{ {settings} }}'


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ("", 3),
        ("scale_bias: false", 3),
        ("scale_bias: true", 5),
        ('scale_filler { type: "constant" value: 2 }', 5),
        ("bias_filler { value: 3 }", 5),
    ],
)
def test_how_many_weights_there_are(settings: str, weights: int) -> None:
    layer, _ = build(text(settings), SHAPE)
    assert [spec.shape for spec in layer.weights] == [(3,), (3,), (1,), (3,), (3,)][:weights]
    assert [spec.learned for spec in layer.weights] == [False, False, False, True, True][:weights]
    assert [spec.lr_mult for spec in layer.param.param] == [0, 0, 0]


def test_scale_and_shift_begin_as_1_and_0() -> None:
    layer, _ = build(text("scale_bias: true"), SHAPE)
    assert [spec.filler.value for spec in layer.weights[3:]] == [1, 0]
    assert layer.weights[2].filler(None) == [1]
    given = "batch_norm_param { scale_filler { value: 2 } bias_filler { value: 3 } }"
    layer, _ = build(f'type: "BatchNorm" bottom: "x" top: "y" {given}', SHAPE)
    assert [spec.filler.value for spec in layer.weights[3:]] == [2, 3]


def test_training_and_testing() -> None:
    """The statistics are cuDNN's: the first batch's, then (1 − factor)·old + factor·batch, the variance unbiased."""
    train, _ = build(text("scale_bias: true moving_average_fraction: 0.75 eps: 0.001"), SHAPE, phase=TRAIN)
    scale, shift = np.array([1.0, -2, 0.5]), np.array([0.0, 1, 2])
    start = [np.full(3, 7.0), np.full(3, 9.0), np.ones(1)]
    weights = [torch.tensor(weight) for weight in (*start, scale, shift)]
    mean, variance = start[:2]
    for step in range(4):
        x = batch(step)
        rows = x.transpose(1, 0, 2, 3).reshape(3, -1)
        factor = 0.25 if step else 1.0
        mean = (1 - factor) * mean + factor * rows.mean(1)
        variance = (1 - factor) * variance + factor * rows.var(1, ddof=1)
        (y,) = train.forward(run_at(step), [torch.tensor(x)], weights)
        want = normalised(x, rows.mean(1), rows.var(1), 1e-3) * scale[:, None, None] + shift[:, None, None]
        np.testing.assert_allclose(y, want, rtol=1e-9)
        for weight, wanted in zip(weights, (mean, variance, np.ones(1), scale, shift), strict=True):
            np.testing.assert_allclose(weight, wanted, rtol=1e-12)
    test, _ = build(text("scale_bias: true eps: 0.001"), SHAPE, phase=TEST)
    (y,) = test.forward(run_at(), [torch.tensor(x)], weights)
    want = normalised(x, mean, variance, 1e-3) * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(y, want, rtol=1e-9)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_gradients(phase: int) -> None:
    layer, _ = build(text("scale_bias: true"), SHAPE, phase=phase)
    given = [torch.tensor(array, requires_grad=True) for array in (batch(1), np.array([1.0, -2, 0.5]), np.arange(3.0))]

    def y(x: torch.Tensor, *learned: torch.Tensor) -> tuple:
        statistics = [torch.tensor(weight) for weight in ([0.5, 1, 2], [3.0, 4, 5], [1.0])]
        return tuple(layer.forward(run_at(1), [x], [weight.double() for weight in statistics] + list(learned)))

    assert torch.autograd.gradcheck(y, given)


def test_statistics_that_were_collected_as_sums_go_on_as_means() -> None:
    layer, _ = build(text("scale_bias: true moving_average_fraction: 0.5"), SHAPE, phase=TRAIN)
    weights = [torch.tensor(weight).double() for weight in ([8.0] * 3, [16.0] * 3, [4.0], [1.0] * 3, [0.0] * 3)]
    x = batch(1)
    layer.forward(run_at(1), [torch.tensor(x)], weights)
    np.testing.assert_allclose(weights[0], 1 + 0.5 * x.mean((0, 2, 3)))
    assert weights[2].item() == 1


def test_eps_is_not_too_small_for_cudnn() -> None:
    x = torch.tensor(batch(1) * 1e-3)
    same = [build(text(f"scale_bias: true eps: {eps}"), SHAPE, phase=TRAIN)[0] for eps in (0, 1e-5)]
    weights = [
        torch.full((size,), value).double() for size, value in ((3, 0.0), (3, 0.0), (1, 1.0), (3, 1.0), (3, 0.0))
    ]
    first, second = (layer.forward(run_at(), [x], weights)[0] for layer in same)
    torch.testing.assert_close(first, second)


def test_what_the_fork_does_not_read_is_warned_about() -> None:
    layer, _ = build(
        text("scale_bias: true use_global_stats: true", "param { lr_mult: 1 } param { lr_mult: 0 }"), SHAPE
    )
    assert [fault.message for fault in layer.warnings()] == [
        "use_global_stats has no effect: with scale_bias the phase decides",
        "lr_mult has no effect: the first three weights are statistics, and are not learned",
    ]
    assert [spec.lr_mult for spec in layer.param.param] == [0, 0, 0]
    assert not build(text("use_global_stats: true"), SHAPE)[0].warnings()


def test_parts_of_a_batch() -> None:
    """Each part as a batch of its own, in their order (intel/caffe's ForwardStatsBatch_cpu)."""
    whole, _ = build(text("stats_batch_size: 2 moving_average_fraction: 0.5"), SHAPE, phase=TRAIN)
    plain, _ = build(text("moving_average_fraction: 0.5"), (2, 3, 2, 2), phase=TRAIN)
    x = torch.tensor(batch(1), requires_grad=True)
    statistics = [[torch.zeros(size).double() for size in (3, 3, 1)] for _ in range(2)]
    (y,) = whole.forward(run_at(), [x], statistics[0])
    parts = [plain.forward(run_at(), [x[at : at + 2]], statistics[1])[0] for at in (0, 2)]
    torch.testing.assert_close(y, torch.cat(parts))
    for got, wanted in zip(*statistics, strict=True):
        torch.testing.assert_close(got, wanted)
    above = torch.arange(float(x.numel())).double().reshape(SHAPE)
    (of_whole,), (of_parts,) = (torch.autograd.grad(top, x, above) for top in (y, torch.cat(parts)))
    torch.testing.assert_close(of_whole, of_parts)


@pytest.mark.parametrize(
    ("settings", "told", "help"),
    [
        ("stats_batch_size: 3", "stats_batch_size must divide the 4 samples of its bottom, got 3", None),
        (
            "filler { value: 1 }",
            "filler starts the Scale layer behind this one, as in intel/caffe, and there is none",
            "add a Scale layer, or write scale_filler for a scale of its own",
        ),
    ],
)
def test_faults(settings: str, told: str, help: str | None) -> None:
    with pytest.raises(LayerError) as raised:
        build(text(settings), SHAPE, phase=TRAIN)
    (fault,) = raised.value.faults
    assert (fault.message, fault.help) == (told, help)


def test_a_batch_is_only_divided_where_its_statistics_count() -> None:
    build(text("stats_batch_size: 3"), SHAPE, phase=TEST)


# -- the upgrade of intel/caffe's nets ------------------------------------------------------------------------------

BN_AND_SCALE = """
layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "x" batch_norm_param {{ {} }} }}
layer {{ name: "other" type: "ReLU" bottom: "z" top: "z" }}
layer {{ name: "scale" type: "Scale" bottom: "x" top: "x" scale_param {{ bias_term: true {} }} }}
"""


def test_a_filler_is_handed_on_to_the_scale_layer_behind() -> None:
    old = net_message(BN_AND_SCALE.format("filler { value: 0 } bias_filler { value: 2 } eps: 1", ""))
    upgraded = upgrade_net(old, asked)
    assert upgraded.message == net_message(
        BN_AND_SCALE.format("eps: 1", "filler { value: 0 } bias_filler { value: 2 }")
    )
    (note,) = upgraded.notes
    assert note.severity == "note"
    assert str(note).endswith('filler is read as that of the Scale layer "scale" behind it, as in intel/caffe')
    assert upgraded.origin("layer[2].scale_param.filler.value") == "layer[0].batch_norm_param.filler.value"


def test_a_scale_layer_keeps_a_filler_of_its_own() -> None:
    old = net_message(BN_AND_SCALE.format("filler { value: 0 }", "filler { value: 5 }"))
    assert upgrade_net(old).message == net_message(BN_AND_SCALE.format("", "filler { value: 5 }"))


@pytest.mark.parametrize(
    "text",
    [
        BN_AND_SCALE.format("scale_filler { value: 2 } bias_filler { value: 0 }", ""),
        'layer { type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { filler { } } }',
        'layer { type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { filler { } } }'
        'layer { type: "ReLU" bottom: "y" top: "y" } layer { type: "Scale" bottom: "y" top: "y" }',
        'layer { type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { filler { } } }'
        'layer { type: "Scale" bottom: "y" bottom: "z" top: "w" }',
    ],
)
def test_other_nets_stay_as_they_are(text: str) -> None:
    old = net_message(text)
    assert upgrade_net(old).message is old


def test_the_size_of_parts_is_handed_on_to_every_batch_norm() -> None:
    old = net_message('bn_stats_batch_size: 32 layer { type: "BatchNorm" } layer { type: "ReLU" }')
    upgraded = upgrade_net(old, asked)
    assert upgraded.message == net_message(
        'layer { type: "BatchNorm" batch_norm_param { stats_batch_size: 32 } } layer { type: "ReLU" }'
    )
    (note,) = upgraded.notes
    assert note.message == "bn_stats_batch_size is read as stats_batch_size of 1 BatchNorm layer"
