"""Lstm of forks against loops over `lstm_layer.cpp` of junhyukoh/caffe-lstm, in both layouts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError, UpgradeError
from caffelite.layerkit import layers
from caffelite.proto import TEST, TRAIN
from caffelite.upgrade import upgrade_net

from ..nets import net_of
from ..upgrade.nets import net as net_message
from .alone import run_at, settings

T, N, K, D = 5, 3, 4, 2


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


class ByLoops:
    """One pass: h of T×N×D; and for gradients of h, those of x, W_x, W_h and b, clipped at the gates."""

    def __init__(self, x: np.ndarray, cont: np.ndarray | None, weights: list, start: tuple | None = None) -> None:
        self.x, (self.of_x, self.of_h, self.bias) = x, weights
        self.cont = np.broadcast_to(np.arange(T)[:, None] > 0, (T, N)) if cont is None else cont != 0
        self.h0, self.c0 = start or (np.zeros((N, D)), np.zeros((N, D)))
        self.h, self.c, self.gates = np.zeros((T, N, D)), np.zeros((T, N, D)), np.zeros((T, N, 4, D))
        for t, n in np.ndindex(T, N):
            before = self.of_x @ x[t, n] + self.bias
            if self.cont[t, n]:
                before = before + self.of_h @ self.earlier(self.h, self.h0, t)[n]
            i, f, o, g = before.reshape(4, D)
            for d in range(D):
                forget = sigmoid(f[d]) if self.cont[t, n] else 0.0
                self.gates[t, n, :, d] = sigmoid(i[d]), forget, sigmoid(o[d]), math.tanh(g[d])
                kept = forget * self.earlier(self.c, self.c0, t)[n, d]
                self.c[t, n, d] = kept + self.gates[t, n, 0, d] * self.gates[t, n, 3, d]
                self.h[t, n, d] = self.gates[t, n, 2, d] * math.tanh(self.c[t, n, d])

    @staticmethod
    def earlier(values: np.ndarray, start: np.ndarray, t: int) -> np.ndarray:
        return values[t - 1] if t else start

    def backward(self, above: np.ndarray, bound: float) -> list[np.ndarray]:
        to_h, to_c = above.copy(), np.zeros((T, N, D))
        at_gates = np.zeros((T, N, 4, D))
        for t in reversed(range(T)):
            for n in range(N):
                for d in range(D):
                    i, f, o, g = self.gates[t, n, :, d]
                    tanh = math.tanh(self.c[t, n, d])
                    to_c[t, n, d] += to_h[t, n, d] * o * (1 - tanh**2)
                    dc = to_c[t, n, d]
                    forget = dc * self.earlier(self.c, self.c0, t)[n, d] if self.cont[t, n] else 0.0
                    if t and self.cont[t, n]:
                        to_c[t - 1, n, d] = dc * f
                    slopes = (
                        dc * g * i * (1 - i),
                        forget * f * (1 - f),
                        to_h[t, n, d] * tanh * o * (1 - o),
                        dc * i * (1 - g**2),
                    )
                    at_gates[t, n, :, d] = np.clip(slopes, -bound, bound) if bound else slopes
                if t and self.cont[t, n]:
                    to_h[t - 1, n] += self.of_h.T @ at_gates[t, n].ravel()
        rows = at_gates.reshape(T, N, 4 * D)
        of_h = np.zeros(self.of_h.shape)
        for t, n in np.ndindex(T, N):
            if self.cont[t, n]:
                of_h += np.outer(rows[t, n], self.earlier(self.h, self.h0, t)[n])
        flat = rows.reshape(T * N, -1)
        return [rows @ self.of_x, flat.T @ self.x.reshape(T * N, -1), of_h, flat.sum(0)]


def built(dialect: str, text: str, *shapes: tuple[int, ...]) -> Any:
    more = f"batch_size: {N}" if dialect == "junhyukoh" else ""
    param = settings(f'name: "l" type: "Lstm" bottom: "x" top: "h" lstm_param {{ num_output: {D} {more} {text} }}')
    layer = layers[f"Lstm@{dialect}"](param, TRAIN)
    layer.setup(shapes)
    layer.raise_faults()
    tops = layer.shapes(shapes)
    layer.raise_faults()
    return layer, tops


def drawn(seed: int = 1) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    chance = np.random.default_rng(seed)
    weights = [chance.standard_normal(shape) for shape in ((4 * D, K), (4 * D, D), (4 * D,))]
    return chance.standard_normal((T, N, K)), weights, chance.standard_normal((T, N, D))


def shapes_of(dialect: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return ((T * N, K), (T * N,), (T * N, D)) if dialect == "junhyukoh" else ((T, N, K), (T, N), (T, N, D))


CONT = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 2.5, 1]])


@pytest.mark.parametrize("bound", [0, 0.3])
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("dialect", ["junhyukoh", "CTPN"])
def test_loops(dialect: str, told: bool, bound: float) -> None:
    x, weights, above = drawn()
    of_x, of_cont, of_top = shapes_of(dialect)
    layer, tops = built(dialect, f"clipping_threshold: {bound}", of_x, *([of_cont] if told else []))
    assert tops == [of_top]
    assert [spec.shape for spec in layer.weights] == [(4 * D, K), (4 * D, D), (4 * D,)]
    given = [torch.tensor(array, requires_grad=True) for array in (x.reshape(of_x), *weights)]
    bottoms = [given[0], torch.tensor(CONT.reshape(of_cont))] if told else given[:1]
    (h,) = layer.forward(run_at(), bottoms, given[1:])
    want = ByLoops(x, CONT if told else None, weights)
    np.testing.assert_allclose(h.detach().numpy(), want.h.reshape(of_top), rtol=1e-10)
    gradients = torch.autograd.grad(h, given, torch.tensor(above.reshape(of_top)))
    bound = float(np.float32(bound))
    for got, wanted in zip(gradients, want.backward(above, bound), strict=True):
        np.testing.assert_allclose(got.numpy().ravel(), wanted.ravel(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dialect", ["junhyukoh", "CTPN"])
def test_with_a_second_bottom_the_state_goes_on(dialect: str) -> None:
    of_x, of_cont, of_top = shapes_of(dialect)
    layer, _ = built(dialect, "", of_x, of_cont)
    cont, start = np.ones((T, N)), None
    for seed in (1, 2, 3):
        x, _, _ = drawn(seed)
        _, weights, _ = drawn()
        given = [torch.tensor(array.reshape(shape)) for array, shape in ((x, of_x), (cont, of_cont))]
        (h,) = layer.forward(run_at(), given, [torch.tensor(weight) for weight in weights])
        want = ByLoops(x, cont, weights, start)
        np.testing.assert_allclose(h.numpy(), want.h.reshape(of_top), rtol=1e-10)
        start = (want.h[-1], want.c[-1])


def test_without_one_each_forward_begins_anew() -> None:
    x, weights, _ = drawn()
    layer, _ = built("CTPN", "", (T, N, K))
    given = [torch.tensor(weight) for weight in weights]
    first, second = (layer.forward(run_at(), [torch.tensor(x)], given)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ('bottom: "x" lstm_param { batch_size: 2 }', "junhyukoh"),
        ('bottom: "x" bottom: "cont"', "junhyukoh"),
        ('bottom: "x" dialect: "junhyukoh"', "junhyukoh"),
        ('bottom: "x" lstm_param { clipping_threshold: 1 }', "CTPN"),
        ('bottom: "x" bottom: "cont" dialect: "CTPN"', "CTPN"),
    ],
)
def test_whose_meaning_a_file_has(text: str, dialect: str) -> None:
    message = net_message(f'layer {{ name: "l" type: "Lstm" top: "h" {text} }}')
    assert upgrade_net(message).message.layer[0].dialect == dialect


def test_an_unknown_dialect_is_told() -> None:
    with pytest.raises(UpgradeError, match="junhyukoh"):
        upgrade_net(net_message('layer { type: "Lstm" bottom: "x" dialect: "junhyuk" }'))


@pytest.mark.parametrize(
    ("dialect", "text", "shapes", "told"),
    [
        ("CTPN", "", [(6, 4)], "needs x of steps×sequences×values, got (6, 4)"),
        ("CTPN", "", [(6, 4, 2), (6, 3)], "needs one number for each of 6×4 steps, got (6, 3)"),
        ("CTPN", "clipping_threshold: -1", [(6, 4, 2)], "clipping_threshold must not be negative, got -1.0"),
        ("junhyukoh", "", [(7, 4)], "needs x of (steps·sequences)×values with a multiple of batch_size, 3, got (7, 4)"),
    ],
)
def test_faults(dialect: str, text: str, shapes: list[tuple[int, ...]], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        built(dialect, text, *shapes)
    assert [fault.message for fault in raised.value.faults] == [told]


def test_a_batch_size_that_does_nothing_is_warned_about() -> None:
    layer, _ = built("CTPN", "batch_size: 2", (6, 4, 2))
    assert [fault.message for fault in layer.warnings()] == [
        "batch_size has no effect: the second axis of x counts the sequences"
    ]


def test_in_a_net() -> None:
    text = f"""
    layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: {T} dim: {N} dim: {K} }} }} }}
    layer {{ name: "turn" type: "Reverse" bottom: "x" top: "r" }}
    layer {{ name: "l" type: "Lstm" bottom: "r" top: "h" dialect: "CTPN" lstm_param {{ num_output: {D}
      weight_filler {{ type: "gaussian" std: 0.5 }} bias_filler {{ type: "constant" value: 0.1 }} }} }}
    """
    net = net_of(text, TEST, observed=True)
    x, _, _ = drawn()
    net.blobs["x"].data[...] = x
    net.forward()
    weights = [np.array(blob.data, np.float64) for blob in net.params["l"]]
    np.testing.assert_allclose(
        net.blobs["h"].data, ByLoops(x[::-1].astype(np.float32), None, weights).h, rtol=1e-4, atol=1e-6
    )
