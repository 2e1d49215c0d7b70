"""ConvLSTM against plain loops over `conv_lstm_layer.cpp` and `conv_lstm_unit_layer.cpp` of DengPingFan/DAVSOD."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit import Layer

from .alone import build, run_at

CONV = "lstm_conv_param { num_output: 2 kernel_size: 3 pad: 1 }"
EXPOSED = "recurrent_param { expose_hidden: true }"


def _convolved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """C×H×W by filters O×C×K×K, K odd, with a border of zeros."""
    (_, height, width), size = x.shape, weight.shape[-1]
    padded = np.pad(x, ((0, 0), *[(size // 2, size // 2)] * 2))
    y = np.zeros((len(weight), height, width))
    for out in range(len(weight)):
        for row in range(height):
            for column in range(width):
                y[out, row, column] = (padded[:, row : row + size, column : column + size] * weight[out]).sum()
    return y


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _by_loops(
    x: np.ndarray, cont: np.ndarray, static: np.ndarray | None, h: np.ndarray, c: np.ndarray, weights: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All h, T×N×D×H×W, and the last h and c, of states N×D×H×W before the first step."""
    tops, h, c = [], h.copy(), c.copy()
    for step in range(len(x)):
        for n in range(x.shape[1]):
            gates = _convolved(x[step, n], weights["weight_x"])
            if static is not None:
                gates += _convolved(static[0, n], weights["weight_static"])
            gates += _convolved(h[n] * cont[step, n], weights["weight_h"]) + weights["bias"][:, None, None]
            i, f, o, g = np.split(gates, 4)
            for gate, letter in ((i, "i"), (f, "f"), (o, "o")):
                if f"peephole_{letter}" in weights:
                    gate += c[n] * weights[f"peephole_{letter}"]
            c[n] = cont[step, n] * _sigmoid(f) * c[n] + _sigmoid(i) * np.tanh(g)
            h[n] = _sigmoid(o) * np.tanh(c[n])
        tops.append(h.copy())
    return np.stack(tops), h, c


def _weights(layer: Layer, chance: np.random.Generator) -> dict[str, np.ndarray]:
    return {spec.name: chance.uniform(-0.5, 0.5, spec.shape) for spec in layer.weights}


X, CONT = (3, 2, 3, 4, 5), np.array([[0.0, 1], [1, 1], [1, 0]])


@pytest.mark.parametrize("peepholes", [True, False])
def test_states_that_are_exposed(peepholes: bool) -> None:
    """With x_static, and states that come in and go out."""
    chance = np.random.default_rng(1)
    debug = "" if peepholes else "lstm_debug_param { disable_hadamard: true }"
    blobs = " ".join(f'bottom: "{name}"' for name in ("x", "cont", "s", "h0", "c0")) + ' top: "h" top: "hT" top: "cT"'
    state, static = (1, 2, 2, 4, 5), (1, 2, 1, 4, 5)
    text = f'type: "ConvLSTM" {blobs} {EXPOSED} {CONV} {debug}'
    layer, tops = build(text, X, CONT.shape, static, state, state)
    shapes = [("weight_x", (8, 3, 3, 3)), ("weight_static", (8, 1, 3, 3)), ("weight_h", (8, 2, 3, 3)), ("bias", (8,))]
    holes = [(f"peephole_{gate}", (4, 5)) for gate in "ifo"] if peepholes else []
    assert [(spec.name, spec.shape) for spec in layer.weights] == shapes + holes
    x, s, h, c = (chance.standard_normal(shape) for shape in (X, static, state, state))
    weights = _weights(layer, chance)
    want = _by_loops(x, CONT, s, h[0], c[0], weights)
    given = [torch.tensor(array) for array in (x, CONT, s, h, c)]
    got = layer.forward(run_at(), given, [torch.tensor(weights[spec.name]) for spec in layer.weights])
    assert [tuple(top.shape) for top in got] == tops == [(3, 2, 2, 4, 5), state, state]
    for mine, theirs in zip(got, (want[0], want[1][None], want[2][None]), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_gradients() -> None:
    """cont is 0 or 1, as the slope of the forget gate is the fork's only then."""
    layer, _ = build(
        f'type: "ConvLSTM" bottom: "x" bottom: "cont" bottom: "h0" bottom: "c0" top: "h" top: "hT" top: "cT" '
        f"{EXPOSED} {CONV}", (2, 1, 1, 3, 3), (2, 1), (1, 1, 2, 3, 3), (1, 1, 2, 3, 3)
    )  # fmt: skip
    chance = np.random.default_rng(2)
    cont = torch.ones(2, 1, dtype=torch.double)
    shapes = [(2, 1, 1, 3, 3), (1, 1, 2, 3, 3), (1, 1, 2, 3, 3), *(spec.shape for spec in layer.weights)]
    given = [torch.tensor(chance.uniform(-0.5, 0.5, shape), requires_grad=True) for shape in shapes]

    def run(x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, *weights: torch.Tensor) -> Any:
        return layer.forward(run_at(), [x, cont, h, c], weights)

    assert torch.autograd.gradcheck(run, given, fast_mode=True)


def test_a_state_carries_on_from_one_forward_to_the_next() -> None:
    chance = np.random.default_rng(3)
    layer, _ = build(f'type: "ConvLSTM" bottom: "x" bottom: "cont" top: "h" {CONV}', X, CONT.shape)
    x, weights, going_on = chance.standard_normal((6, *X[1:])), _weights(layer, chance), np.ones((3, 2))
    tensors = [torch.tensor(weights[spec.name]) for spec in layer.weights]
    zero = np.zeros((2, 2, 4, 5))
    want, _, _ = _by_loops(x, np.concatenate([CONT, going_on]), None, zero, zero, weights)
    got = [
        layer.forward(run_at(), [torch.tensor(x[at : at + 3]), torch.tensor(cont)], tensors)[0]
        for at, cont in ((0, CONT), (3, going_on))
    ]
    np.testing.assert_allclose(torch.cat(got), want, rtol=1e-9)
    before = layer.carried
    assert [tuple(state.shape) for state in before] == [(2, 40), (2, 40)]
    layer.carried = None
    assert torch.equal(layer.forward(run_at(), [torch.tensor(x[:3]), torch.tensor(CONT)], tensors)[0], got[0])


def test_two_convolutions_of_two_sizes() -> None:
    """The input's may make images smaller; the state keeps its size."""
    text = (
        'type: "ConvLSTM" bottom: "x" bottom: "cont" top: "h" '
        'lstm_conv_param { type: "hidden" num_output: 2 kernel_size: 3 pad: 1 bias_term: false } '
        'lstm_conv_param { type: "input" num_output: 2 kernel_size: 2 kernel_size: 1 stride: 2 stride: 1 }'
    )
    layer, tops = build(text, X, CONT.shape)
    assert tops == [(3, 2, 2, 2, 5)]
    assert [spec.shape for spec in layer.weights] == [(8, 3, 2, 1), (8, 2, 3, 3), (2, 5), (2, 5), (2, 5)]


def test_filters_with_holes() -> None:
    """A filter with zeros between its taps."""
    text = 'type: "ConvLSTM" bottom: "x" bottom: "cont" top: "h" '
    text += "lstm_conv_param { num_output: 2 kernel_size: 3 pad: 2 dilation: 2 }"
    layer, _ = build(text, X, CONT.shape)
    chance = np.random.default_rng(5)
    x, weights, zero = chance.standard_normal(X), _weights(layer, chance), np.zeros((2, 2, 4, 5))
    wide = dict(weights)
    for name in ("weight_x", "weight_h"):
        wide[name] = np.zeros((*weights[name].shape[:2], 5, 5))
        wide[name][..., ::2, ::2] = weights[name]
    want, _, _ = _by_loops(x, CONT, None, zero, zero, wide)
    tensors = [torch.tensor(weights[spec.name]) for spec in layer.weights]
    (got,) = layer.forward(run_at(), [torch.tensor(x), torch.tensor(CONT)], tensors)
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_filters_and_offsets_begin_as_their_fillers_say() -> None:
    text = (
        'type: "ConvLSTM" bottom: "x" bottom: "cont" top: "h" '
        'lstm_conv_param { type: "hidden" num_output: 2 kernel_size: 3 pad: 1 '
        "weight_filler { value: 3 } bias_filler { value: 5 } } "
        'lstm_conv_param { type: "input" num_output: 2 kernel_size: 3 pad: 1 weight_filler { value: 7 } }'
    )
    layer, _ = build(text, X, CONT.shape)
    assert [(spec.name, spec.filler.value) for spec in layer.weights[:3]] == [
        ("weight_x", 7),
        ("weight_h", 3),
        ("bias", 5),
    ]


def test_peepholes_begin_as_ones_over_the_axes_that_are_asked_for() -> None:
    debug = "lstm_debug_param { axis_hadamard: 2 num_axes_hadamard: 1 }"
    layer, _ = build(f'type: "ConvLSTM" bottom: "x" bottom: "cont" top: "h" {CONV} {debug}', X, CONT.shape)
    assert [spec.shape for spec in layer.weights[-3:]] == [(2,)] * 3
    assert [(spec.filler.type, spec.filler.value) for spec in layer.weights[-3:]] == [("constant", 1)] * 3
    chance = np.random.default_rng(4)
    x, weights, zero = chance.standard_normal(X), _weights(layer, chance), np.zeros((2, 2, 4, 5))
    wide = {name: value.reshape(2, 1, 1) if "peephole" in name else value for name, value in weights.items()}
    want, _, _ = _by_loops(x, CONT, None, zero, zero, wide)
    tensors = [torch.tensor(weights[spec.name]) for spec in layer.weights]
    (got,) = layer.forward(run_at(), [torch.tensor(x), torch.tensor(CONT)], tensors)
    np.testing.assert_allclose(got, want, rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "shapes", "told"),
    [
        ("", (X, (3, 2)), "needs lstm_conv_param once or twice, got it 0 times"),
        ("lstm_conv_param { kernel_size: 3 pad: 1 }", (X, (3, 2)), "num_output must be positive, got 0"),
        ("lstm_conv_param { num_output: 2 }", (X, (3, 2)), "kernel_size is missing"),
        ("lstm_conv_param { num_output: 2 kernel_size: 3 }", (X, (3, 2)), "makes 0×1 of a state of 2×3"),
        (
            f"{CONV} lstm_conv_param {{ num_output: 3 kernel_size: 1 }}",
            (X, (3, 2)),
            "num_output must be the same in both",
        ),
        (CONV.replace("pad", 'type: "x" pad'), (X, (3, 2)), 'type must be "input" or "hidden", got "x"'),
        (CONV, (X, (2, 3)), "needs cont of steps×sequences"),
        (CONV, (X[1:], (2, 3)), "needs x of steps×sequences×channels×height×width"),
        (EXPOSED + CONV, (X, (3, 2)), "takes 4 or 5 bottoms with expose_hidden: true"),
        (CONV + " lstm_debug_param { num_axes_hadamard: 3 }", (X, (3, 2)), "are not all among the 5 axes of a state"),
    ],
)
def test_settings(settings: str, shapes: tuple, told: str) -> None:
    with pytest.raises(LayerError, match=told):
        build(f'type: "ConvLSTM" bottom: "x" bottom: "cont" top: "h" {settings}', *shapes)


def test_the_examples_multiply_adds() -> None:
    """3 steps of 2 sequences of 4×5 pixels: 8 filters of 3·9 and of 2·9 values each."""
    layer, tops = build(f'type: "ConvLSTM" bottom: "x" bottom: "cont" top: "h" {CONV}', X, CONT.shape)
    assert layer.multiply_adds([X, CONT.shape], tops) == math.prod((3, 2, 4, 5)) * 8 * (27 + 18)
