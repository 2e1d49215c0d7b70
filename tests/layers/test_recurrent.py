"""RNN, LSTM and LSTMUnit against loops written from the formulas, and finite differences."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
import torch

from caffelite import ops
from caffelite.errors import LayerError, SnapshotError
from caffelite.fillers import fill, fillers
from caffelite.layerkit import Layer
from caffelite.runtime.seeds import generator

from ..recorded import close
from .alone import build, run_at

Shape = tuple[int, ...]
STATES = {"RNN": ("h",), "LSTM": ("h", "c")}
SPREAD = 'weight_filler { type: "uniform" min: -0.5 max: 0.5 }'


def _layer(type: str, param: str, *bottoms: Shape, outputs: int = 3) -> tuple:
    tops = 1 + len(STATES[type]) * ("expose_hidden: true" in param)
    names = " ".join([*(f'bottom: "b{i}"' for i in range(len(bottoms))), *(f'top: "t{i}"' for i in range(tops))])
    return build(
        f'name: "r" type: "{type}" {names} recurrent_param {{ num_output: {outputs} {SPREAD} '
        f'bias_filler {{ type: "uniform" min: -0.5 max: 0.5 }} {param} }}',
        *bottoms,
    )


def _shapes(type: str, steps: int, count: int, static: bool, exposed: bool) -> list[Shape]:
    states: list[Shape] = [(1, count, 3)] * (len(STATES[type]) if exposed else 0)
    given: list[Shape] = [(count, 2)] if static else []
    return [(steps, count, 2, 2), (steps, count), *given, *states]


def _values(shapes: list[Shape], cont: np.ndarray, seed: int = 1) -> list[torch.Tensor]:
    random = np.random.default_rng(seed)
    values = [random.standard_normal(shape) for shape in shapes]
    values[1] = cont
    return [torch.from_numpy(np.asarray(value, np.float64)) for value in values]


def _weights(layer: Layer, seed: int = 2) -> list[torch.Tensor]:
    random = np.random.default_rng(seed)
    return [torch.from_numpy(random.uniform(-0.7, 0.7, spec.shape)) for spec in layer.weights]


CONTS = {
    "a sequence each": np.array([[0, 0], [1, 1], [1, 1], [1, 1]]),
    "going on": np.ones((4, 2)),
    "restarts": np.array([[0, 1], [1, 0], [0, 0], [1, 1]]),
    "always": np.zeros((4, 2)),
    "fractions": np.array([[0.3, 1], [1, 0.5], [0, 2], [1, -1]]),
}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _by_steps(
    type: str, bottoms: list[np.ndarray], weights: list[np.ndarray], static: bool, states: list[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A loop over steps and sequences."""
    x, cont = bottoms[0].reshape(*bottoms[1].shape, -1), bottoms[1]
    weights = list(weights)
    of_x, bias = weights.pop(0), weights.pop(0)
    given = bottoms[2] @ weights.pop(0).T if static else np.zeros((x.shape[1], len(bias)))
    of_h = weights.pop(0)
    states = [state.copy() for state in states]
    y = np.zeros((*x.shape[:2], of_h.shape[1]))
    for t, n in np.ndindex(x.shape[:2]):
        z = of_x @ x[t, n] + bias + given[n] + of_h @ (cont[t, n] * states[0][n])
        if type == "RNN":
            states[0][n] = np.tanh(z)
            y[t, n] = np.tanh(weights[0] @ states[0][n] + weights[1])
        else:
            i, f, o, g = np.split(z, 4)
            states[1][n] = cont[t, n] * _sigmoid(f) * states[1][n] + _sigmoid(i) * np.tanh(g)
            states[0][n] = y[t, n] = _sigmoid(o) * np.tanh(states[1][n])
    return y, states


@pytest.mark.parametrize("cont", CONTS)
@pytest.mark.parametrize("static", [False, True], ids=["", "static"])
@pytest.mark.parametrize("exposed", [False, True], ids=["", "exposed"])
@pytest.mark.parametrize("type", STATES)
def test_steps_by_hand_over_three_forwards(type: str, exposed: bool, static: bool, cont: str) -> None:
    shapes = _shapes(type, 4, 2, static, exposed)
    layer, declared = _layer(type, "expose_hidden: true" if exposed else "", *shapes)
    weights = _weights(layer)
    states = [np.zeros((2, 3)) for _ in STATES[type]]
    for seed in range(3):
        bottoms = _values(shapes, CONTS[cont], seed)
        if exposed:
            states = [bottom[0].numpy() for bottom in bottoms[-len(states) :]]
        tops = layer.forward(run_at(seed), bottoms, weights)
        plain = [bottom.numpy() for bottom in bottoms]
        y, states = _by_steps(type, plain, [weight.numpy() for weight in weights], static, states)
        assert [tuple(top.shape) for top in tops] == declared
        np.testing.assert_allclose(tops[0], y, rtol=1e-9, atol=1e-12)
        for top, state in zip(tops[1:], states, strict=exposed):
            np.testing.assert_allclose(top[0], state, rtol=1e-9, atol=1e-12)


GRADIENTS = [
    *itertools.product(STATES, [""], [False, True], [False, True], ["a sequence each", "going on", "restarts"]),
    ("LSTM", "", False, False, "always"),
    *(("LSTM", "debug_info: true", False, static, "restarts") for static in (False, True)),
    ("LSTM", "debug_info: true", True, False, "going on"),
]


@pytest.mark.parametrize(("type", "param", "exposed", "static", "cont"), GRADIENTS)
def test_gradient(type: str, param: str, exposed: bool, static: bool, cont: str) -> None:
    """Of x, x_static and the weights; the first states are constants to it, and so are the last ones."""
    shapes = _shapes(type, 4, 2, static, exposed)
    layer, _ = _layer(type, f"{param} {'expose_hidden: true' if exposed else ''}", *shapes)
    bottoms = _values(shapes, CONTS[cont])
    free = [bottoms[0], *([bottoms[2]] if static else []), *_weights(layer)]
    start = [torch.full((2, 3), 0.3) for _ in STATES[type]]

    def y(*given: torch.Tensor) -> torch.Tensor:
        if not exposed:
            layer.carried = start
        bottoms[0], rest = given[0], given[1:]
        if static:
            bottoms[2], rest = rest[0], rest[1:]
        tops = layer.forward(run_at(), bottoms, rest)
        assert not any(top.requires_grad for top in tops[1:])
        return tops[0]

    assert torch.autograd.gradcheck(y, [tensor.requires_grad_() for tensor in free])


@pytest.mark.parametrize("type", STATES)
def test_no_gradient_reaches_cont_and_the_first_states(type: str) -> None:
    shapes = _shapes(type, 4, 2, False, True)
    layer, _ = _layer(type, "expose_hidden: true", *shapes)
    bottoms = [bottom.requires_grad_() for bottom in _values(shapes, CONTS["going on"])]
    y = layer.forward(run_at(), bottoms, _weights(layer))[0]
    gradients = torch.autograd.grad(y.sum(), bottoms, allow_unused=True)
    assert [gradient is None for gradient in gradients] == [False] + [True] * (len(shapes) - 1)
    assert 1 in layer.ungraded


@pytest.mark.parametrize("cont", ["a sequence each", "going on", "restarts", "always"])
def test_both_ways_through_an_lstm_agree(cont: str) -> None:
    random = torch.Generator().manual_seed(1)
    flags = torch.from_numpy(CONTS[cont]).float()
    x, h, c = (torch.randn(shape, generator=random) for shape in ((4, 2, 5), (2, 6), (2, 6)))
    weights = [0.5 * torch.randn(shape, generator=random) for shape in ((24, 5), (24,), (24, 6))]
    found = []
    for whole in (True, False):
        of_x, bias, of_h = given = tuple(weight.clone().requires_grad_() for weight in weights)
        if whole:
            begins = ops.recurrent.beginnings(flags)
            assert begins is not None
            y, last = ops.recurrent.lstm_by_sequences(x, given, flags, begins, h, c)
        else:
            y, every = ops.recurrent.lstm(torch.nn.functional.linear(x, of_x, bias), of_h, flags, h, c)
            last = every[-1]
        y.square().sum().backward()
        found.append([y.detach(), last, *(weight.grad for weight in given)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_beginnings_of_sequences() -> None:
    assert [ops.recurrent.beginnings(torch.from_numpy(cont)) for cont in CONTS.values()] == [
        [0], [], [0, 1, 2], [0, 1, 2, 3], None
    ]  # fmt: skip
    assert ops.recurrent.beginnings(torch.zeros(3, 0)) == []


# -- the state between forwards ------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", STATES)
def test_one_long_sequence_is_its_pieces(type: str) -> None:
    shapes = _shapes(type, 6, 2, False, False)
    cont = np.array([[0, 0], *[[1, 1]] * 5])
    whole, _ = _layer(type, "", *shapes)
    pieces, _ = _layer(type, "", *_shapes(type, 2, 2, False, False))
    weights, (x, flags) = _weights(whole), _values(shapes, cont)
    (y,) = whole.forward(run_at(), [x, flags], weights)
    parts = [pieces.forward(run_at(t), [x[t : t + 2], flags[t : t + 2]], weights)[0] for t in (0, 2, 4)]
    torch.testing.assert_close(torch.cat(parts), y)


@pytest.mark.parametrize("type", STATES)
def test_the_number_of_steps_may_change(type: str) -> None:
    layer, _ = _layer(type, "", *_shapes(type, 4, 2, False, False))
    assert list(layer.shapes(_shapes(type, 7, 2, False, False))) == [(7, 2, 3)]
    bottoms = _values(_shapes(type, 7, 2, False, False), np.ones((7, 2)))
    assert layer.forward(run_at(), bottoms, _weights(layer))[0].shape == (7, 2, 3)


@pytest.mark.parametrize("type", STATES)
def test_sequences_left_out_by_a_smaller_batch_go_on_later_and_a_larger_one_begins_with_zeros(type: str) -> None:
    """The original keeps the state in a blob that is allocated anew, as zeros, only when it grows."""
    layer, _ = _layer(type, "", *_shapes(type, 2, 3, False, False))
    weights = _weights(layer)
    state = [np.zeros((3, 3)) for _ in STATES[type]]
    for count in (3, 1, 3, 4):
        bottoms = _values(_shapes(type, 2, count, False, False), np.ones((2, count)), seed=count)
        if count == 4:
            state = [np.zeros((4, 3)) for _ in state]
        plain = ([b.numpy() for b in bottoms], [w.numpy() for w in weights])
        want, ends = _by_steps(type, *plain, False, [part[:count] for part in state])
        np.testing.assert_allclose(layer.forward(run_at(), bottoms, weights)[0], want, rtol=1e-9, atol=1e-12)
        state = [np.concatenate([end, old[count:]]) for end, old in zip(ends, state, strict=True)]
    assert layer.carried is not None
    for found, part in zip(layer.carried, state, strict=True):
        np.testing.assert_allclose(found, part)


@pytest.mark.parametrize("type", STATES)
def test_a_state_that_is_saved_and_restored_goes_on(type: str) -> None:
    shapes = _shapes(type, 3, 2, False, False)
    one, other = (_layer(type, "", *shapes)[0] for _ in range(2))
    bottoms, weights = _values(shapes, np.ones((3, 2))), _weights(one)
    bottoms, weights = [b.float() for b in bottoms], [w.float() for w in weights]
    assert one.carried is None
    first = one.forward(run_at(), bottoms, weights)[0]
    saved = one.carried
    assert [(tuple(values.shape), values.dtype) for values in saved] == [((2, 3), torch.float32)] * len(STATES[type])
    second = one.forward(run_at(), bottoms, weights)[0]
    assert not torch.equal(first, second)
    other.carried = saved
    assert torch.equal(other.forward(run_at(), bottoms, weights)[0], second)
    one.carried = None
    assert torch.equal(one.forward(run_at(), bottoms, weights)[0], first)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ([(2, 3)], "got [(2, 3)]"),
        ([(), ()], "got [(), ()]"),
        ([(2, 3), (1, 3)], "got [(2, 3), (1, 3)]"),
        ([(2, 4), (2, 4)], "got [(2, 4), (2, 4)]"),
    ],
)
def test_a_state_of_another_layer_is_refused(state: list[Shape], told: str) -> None:
    layer, _ = _layer("LSTM", "", *_shapes("LSTM", 3, 2, False, False))
    with pytest.raises(SnapshotError) as raised:
        layer.carried = [torch.zeros(shape) for shape in state]
    assert str(raised.value) == f'layer "r" (LSTM): its state is h and c of sequences×3, {told}'


def test_exposed_states_are_not_kept() -> None:
    shapes = _shapes("LSTM", 3, 2, False, True)
    layer, _ = _layer("LSTM", "expose_hidden: true", *shapes)
    layer.forward(run_at(), _values(shapes, np.ones((3, 2))), _weights(layer))
    assert layer.carried is None


@pytest.mark.parametrize("cont", ["restarts", "fractions"])
@pytest.mark.parametrize("type", STATES)
def test_what_is_written_to_a_top_reaches_neither_the_backward_nor_the_next_forward(type: str, cont: str) -> None:
    shapes = _shapes(type, 4, 2, False, False)
    layer, _ = _layer(type, "", *shapes)
    bottoms, weights, found = _values(shapes, CONTS[cont]), _weights(layer), []
    for written in (False, True):
        given = [weight.clone().requires_grad_() for weight in weights]
        layer.carried = None
        (y,) = layer.forward(run_at(), bottoms, given)
        if written:
            y.detach().numpy()[...] = 7
        found.append((layer.carried, torch.autograd.grad(y, given, torch.ones_like(y))))
    (state, gradients), (state_too, gradients_too) = found
    assert len(state) == len(STATES[type])
    assert all(torch.equal(*pair) for pair in zip(state, state_too, strict=True))
    assert all(torch.equal(*pair) for pair in zip(gradients, gradients_too, strict=True))


# -- declarations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "static", "weights"),
    [
        ("RNN", False, [(3, 4), (3,), (3, 3), (3, 3), (3,)]),
        ("RNN", True, [(3, 4), (3,), (3, 2), (3, 3), (3, 3), (3,)]),
        ("LSTM", False, [(12, 4), (12,), (12, 3)]),
        ("LSTM", True, [(12, 4), (12,), (12, 2), (12, 3)]),
    ],
)
def test_weights_are_those_of_the_originals_unrolled_net(type: str, static: bool, weights: list[Shape]) -> None:
    layer, _ = _layer(type, "", *_shapes(type, 4, 2, static, False))
    assert [spec.shape for spec in layer.weights] == weights
    for spec in layer.weights:
        values = fill(spec.filler, spec.shape, generator(1, "w"))
        assert 0.3 < np.abs(values).max() < 0.5


@pytest.mark.parametrize(
    ("type", "count"), [("RNN", 4 * 2 * (12 + 9 + 9) + 2 * 6), ("LSTM", 4 * 2 * (48 + 36) + 2 * 24)]
)
def test_multiply_adds(type: str, count: int) -> None:
    shapes = _shapes(type, 4, 2, True, False)
    layer, tops = _layer(type, "", *shapes)
    assert layer.multiply_adds(shapes, tops) == count


@pytest.mark.parametrize("exposed", [False, True], ids=["", "exposed"])
@pytest.mark.parametrize("static", [False, True], ids=["", "static"])
@pytest.mark.parametrize("type", STATES)
def test_declared_shape_is_computed_shape_also_of_no_sequence(type: str, static: bool, exposed: bool) -> None:
    for steps, count in itertools.product((1, 5), (0, 1, 3)):
        shapes = _shapes(type, steps, count, static, exposed)
        layer, declared = _layer(type, "expose_hidden: true" if exposed else "", *shapes)
        for cont in (np.zeros, np.ones):
            tops = layer.forward(run_at(), _values(shapes, cont((steps, count))), _weights(layer))
            assert [tuple(top.shape) for top in tops] == declared


HEAD = 'layer "r" (LSTM): '


@pytest.mark.parametrize(
    ("param", "bottoms", "told"),
    [
        ("", [(4, 2), (4, 2)], "needs x of steps×sequences×values, got (4, 2)"),
        ("", [(0, 2, 3), (0, 2)], "needs x of steps×sequences×values, got (0, 2, 3)"),
        ("", [(4, 2, 3), (4, 2, 1)], "needs cont of steps×sequences, (4, 2) as x, got (4, 2, 1)"),
        ("", [(4, 2, 3), (4, 2), (3, 5)], "needs x_static of sequences×values, 2×…, got (3, 5)"),
        ("", [(4, 2, 3), (4, 2), (2,)], "needs x_static of sequences×values, 2×…, got (2,)"),
        (
            "expose_hidden: true",
            [(4, 2, 3), (4, 2), (1, 2, 3), (2, 3)],
            "needs a first state of (1, 2, 3), got (2, 3)",
        ),
        (
            "expose_hidden: true",
            [(4, 2, 3), (4, 2)],
            "takes 4 or 5 bottoms with expose_hidden: true (x, cont, x_static if there is one, h_0, c_0), got 2",
        ),
        (
            "",
            [(4, 2, 3), (4, 2), (1, 2, 3), (1, 2, 3)],
            "takes 2 or 3 bottoms with expose_hidden: false (x, cont, x_static if there is one), got 4",
        ),
    ],
)
def test_faults(param: str, bottoms: list[Shape], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer("LSTM", param, *bottoms)
    assert str(raised.value) == HEAD + told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('top: "y" recurrent_param { }', ["num_output must be positive, got 0"]),
        (
            'top: "y" top: "h" top: "c" recurrent_param { num_output: 3 }',
            ["takes 1 top with expose_hidden: false, got 3"],
        ),
        (
            'top: "y" recurrent_param { num_output: 3 '
            'weight_filler { type: "one" } bias_filler { type: "uniform" min: 2 } }',
            [
                f'weight_filler type names no filler, got "one"\n  help: {fillers.known()}',
                "bias_filler min must not be above max, got 2 above 1",
            ],
        ),
    ],
)
def test_faults_of_the_settings(text: str, told: list[str]) -> None:
    with pytest.raises(LayerError) as raised:
        build(f'name: "r" type: "LSTM" bottom: "x" bottom: "cont" {text}', (4, 2, 3), (4, 2))
    assert [str(fault) for fault in raised.value.faults] == [HEAD + line for line in told]


def test_the_number_of_values_may_not_change() -> None:
    layer, _ = _layer("LSTM", "", *_shapes("LSTM", 4, 2, True, False))
    with pytest.raises(LayerError) as raised:
        layer.shapes([(4, 2, 5), (4, 2), (2, 3)])
        layer.raise_faults()
    assert [str(fault) for fault in raised.value.faults] == [
        f"{HEAD}the weights are for 4 values a step and sequence, (4, 2, 5) has 5",
        f"{HEAD}the weights are for 2 values a sequence, (2, 3) has 3",
    ]


# -- debug_info ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "blobs", "reader"),
    [
        (
            "LSTM",
            [
                "h_conted_0, top blob h_conted_0", "transform_1, top blob W_hc_h_0",
                "gate_input_1, top blob gate_input_1", "unit_1, top blob c_1", "unit_1, top blob h_1",
                "h_conted_1, top blob h_conted_1", "transform_2, top blob W_hc_h_1",
                "gate_input_2, top blob gate_input_2", "unit_2, top blob c_2", "unit_2, top blob h_2",
            ],
            "gate_input_{0}, bottom blob W_xc_x_{0}",
        ),
        (
            "RNN",
            [
                "h_conted_0, top blob h_conted_0", "W_hh_h_0, top blob W_hh_h_0",
                "h_input_sum_1, top blob h_neuron_input_1", "h_neuron_1, top blob h_1",
                "W_ho_h_1, top blob W_ho_h_1", "o_neuron_1, top blob o_1",
                "h_conted_1, top blob h_conted_1", "W_hh_h_1, top blob W_hh_h_1",
                "h_input_sum_2, top blob h_neuron_input_2", "h_neuron_2, top blob h_2",
                "W_ho_h_2, top blob W_ho_h_2", "o_neuron_2, top blob o_2",
            ],
            "h_input_sum_{0}, bottom blob W_xh_x_{0}",
        ),
    ],
)  # fmt: skip
def test_debug_info_tells_every_step(
    type: str, blobs: list[str], reader: str, caplog: pytest.LogCaptureFixture
) -> None:
    shapes = _shapes(type, 2, 2, False, False)
    layer, _ = _layer(type, "debug_info: true", *shapes)
    silent, _ = _layer(type, "", *shapes)
    bottoms = _values(shapes, np.ones((2, 2)))
    weights = [weight.requires_grad_() for weight in _weights(layer)]
    with caplog.at_level(logging.INFO, "caffelite"):
        (y,) = layer.forward(run_at(), bottoms, weights)
        told = [record.getMessage().strip().rpartition(" data: ") for record in caplog.records]
        assert [head for head, _, _ in told] == [f"[Forward] Layer r_{blob}" for blob in blobs]
        torch.testing.assert_close(y, silent.forward(run_at(), bottoms, weights)[0])
        assert told[-1][2] == f"{y[-1].abs().mean().item():.6g}"
        caplog.clear()
        y.sum().backward()
    heads = [record.getMessage().strip().rpartition(" diff: ")[0] for record in caplog.records]
    assert heads == [f"[Backward] Layer r_{reader.format(step)}" for step in (2, 1)]


# -- LSTMUnit ------------------------------------------------------------------------------------------------------


def _unit(*bottoms: Shape) -> tuple:
    names = 'bottom: "before" bottom: "gates" bottom: "cont" top: "c" top: "h"'
    return build(f'name: "u" type: "LSTMUnit" {names}', *bottoms)


def test_unit_gradient() -> None:
    layer, tops = _unit((1, 3, 2), (1, 3, 8), (1, 3))
    assert tops == [(1, 3, 2)] * 2
    random = torch.Generator().manual_seed(1)
    before, gates = (torch.randn(1, 3, n, dtype=torch.double, generator=random).requires_grad_() for n in (2, 8))
    cont = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.double)
    assert torch.autograd.gradcheck(lambda *given: layer.forward(run_at(), [*given, cont], []), [before, gates])
    assert layer.ungraded == {2}


def _unit_backward(
    before: np.ndarray, gates: np.ndarray, cont: np.ndarray, to_c: np.ndarray, to_h: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As src/caffe/layers/lstm_unit_layer.cpp has it: the slope of f is that of cont·σ(f)."""
    i, f, o, g = np.split(gates, 4, -1)
    i, f, o, g = _sigmoid(i), cont[..., None] * _sigmoid(f), _sigmoid(o), np.tanh(g)
    tanh = np.tanh(f * before + i * g)
    to_c = to_c + to_h * o * (1 - tanh**2)
    slopes = [
        to_c * g * i * (1 - i), to_c * before * f * (1 - f), to_h * tanh * o * (1 - o), to_c * i * (1 - g**2)
    ]  # fmt: skip
    return to_c * f, np.concatenate(slopes, -1)


def test_gradients_with_fractions_in_cont_are_the_originals() -> None:
    """Of LSTMUnit, and of an LSTM, which is a chain of them."""
    random = np.random.default_rng(5)
    cont = CONTS["fractions"]
    inputs, weight = random.standard_normal((4, 2, 12)), random.standard_normal((12, 3)) / 2
    h, c, above = (random.standard_normal(shape) for shape in ((2, 3), (2, 3), (4, 2, 3)))
    given = torch.from_numpy(inputs).requires_grad_(), torch.from_numpy(weight).requires_grad_()
    y, every_c = ops.recurrent.lstm(*given, torch.from_numpy(cont), torch.from_numpy(h), torch.from_numpy(c))
    to_inputs, to_weight = torch.autograd.grad(y, given, torch.from_numpy(above))

    hs, cs = [h, *y.detach().numpy()], [c, *every_c.numpy()]
    to_h, to_c, wanted = np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((12, 3))
    for t in reversed(range(4)):
        conted = cont[t][:, None] * hs[t]
        gates = inputs[t] + conted @ weight.T
        to_c, to_gates = _unit_backward(cs[t], gates, cont[t], to_c, to_h + above[t])
        np.testing.assert_allclose(to_inputs[t], to_gates, rtol=1e-9)
        to_h = to_gates @ weight * cont[t][:, None]
        wanted += to_gates.T @ conted
    np.testing.assert_allclose(to_weight, wanted, rtol=1e-9)

    before, gates = torch.from_numpy(cs[1]).requires_grad_(), torch.from_numpy(inputs[1]).requires_grad_()
    tops = ops.recurrent.lstm_unit(before, gates, torch.from_numpy(cont[1]))
    starts = [torch.from_numpy(value) for value in (above[1], above[2])]
    found = torch.autograd.grad(tops, (before, gates), starts)
    for got, want in zip(found, _unit_backward(cs[1], inputs[1], cont[1], above[1], above[2]), strict=True):
        close("gradient", got, want, {"rtol": 1e-9, "atol": 0})


@pytest.mark.parametrize(
    ("bottoms", "told"),
    [
        ([(2, 3, 2), (1, 3, 8), (1, 3)], "needs c of the step before as 1×sequences×values, got (2, 3, 2)"),
        ([(1, 3, 2), (1, 3, 6), (1, 3)], "needs the gates i, f, o, g as (1, 3, 8), got (1, 3, 6)"),
        ([(1, 3, 2), (1, 3, 8), (3,)], "needs cont as (1, 3), got (3,)"),
    ],
)
def test_unit_faults(bottoms: list[Shape], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _unit(*bottoms)
    assert str(raised.value) == f'layer "u" (LSTMUnit): {told}'
