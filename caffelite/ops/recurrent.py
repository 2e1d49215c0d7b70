"""Recurrent arithmetic: one step of an LSTM, and whole sequences of an LSTM and of a simple recurrent net.

A whole sequence is one autograd node.  What does not depend on the step before is left outside its loop, as products
over all steps at once, so that a step costs one matrix product and a few operations on N×D numbers, in either
direction.  No gradient reaches cont and the first state: the original has none for them.

T steps, N sequences side by side, D outputs.  Gates lie in the order i, f, o, g along the last axis, 4·D long.

Sources: src/caffe/layers/lstm_unit_layer.cpp, lstm_layer.cpp, rnn_layer.cpp.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def _split(gates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, f, o, g = gates.chunk(4, -1)
    return i, f, o, g


def _activate(gates: Tensor, cont: Tensor) -> None:
    """σ(i), cont·σ(f), σ(o) and tanh(g), in place; cont has an axis of 1 for D."""
    size = gates.shape[-1] // 4
    gates[..., : 3 * size].sigmoid_()
    gates[..., 3 * size :].tanh_()
    gates[..., size : 2 * size].mul_(cont)


def _slopes(gates: Tensor, before: Tensor, tanh: Tensor) -> Tensor:
    """What the gradient of c (gates i, f, g) and that of h (gate o) are multiplied with on their way to the gates
    before activation; `gates` are those after it, `tanh` is that of c, and `before` the c of the step before.

    The slope of σ(f) is taken as f·(1 − f) of the f that is already multiplied by cont.
    """
    i, f, o, g = _split(gates)
    return torch.cat([g * i * (1 - i), before * f * (1 - f), tanh * o * (1 - o), i * (1 - g * g)], -1)


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, before: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
        gates = gates.clone()
        _activate(gates, cont.unsqueeze(-1))
        i, f, o, g = _split(gates)
        c = (f * before).addcmul_(i, g)
        ctx.save_for_backward(before, gates, c)
        return c, o * c.tanh()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_c: Tensor, to_h: Tensor) -> tuple[Tensor | None, ...]:
        before, gates, c = ctx.saved_tensors
        _, f, o, _ = _split(gates)
        tanh = c.tanh()
        to_c = torch.addcmul(to_c, to_h, o * (1 - tanh * tanh))
        slopes = _slopes(gates, before, tanh)
        return to_c * f, slopes.mul_(torch.cat([to_c, to_c, to_h, to_c], -1)), None


def lstm_unit(before: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """c = cont·σ(f)·before + σ(i)·tanh(g) and h = σ(o)·tanh(c).

    before: …×D, the c of the step before; gates: …×4D, before activation; cont: …
    """
    c_and_h: tuple[Tensor, Tensor] = _Unit.apply(before, gates, cont.detach())
    return c_and_h


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, cont: Tensor, h: Tensor, c: Tensor, bound: float
    ) -> tuple[Tensor, Tensor]:
        ctx.bound = bound
        steps, (count, size) = len(inputs), h.shape
        cont = cont.unsqueeze(-1)
        gates, transposed = torch.empty_like(inputs), weight.t()
        # What is before the first step stands first.
        all_h, all_c = (start.new_empty(steps + 1, count, size) for start in (h, c))
        all_h[0], all_c[0] = h, c
        hs, cs, conted = all_h.unbind(), all_c.unbind(), torch.empty_like(h)
        for t, (x, here, on) in enumerate(zip(inputs.unbind(), gates.unbind(), cont.unbind(), strict=True)):
            torch.mul(hs[t], on, out=conted)
            torch.addmm(x, conted, transposed, out=here)
            _activate(here, on)
            i, f, o, g = _split(here)
            torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, g)
            torch.tanh(cs[t + 1], out=hs[t + 1]).mul_(o)
        ctx.save_for_backward(weight, cont, gates, all_h, all_c)
        every_c = all_c[1:]
        ctx.mark_non_differentiable(every_c)
        return all_h[1:], every_c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_above: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        weight, cont, gates, all_h, all_c = ctx.saved_tensors
        size = all_h.shape[-1]
        _, f, o, _ = _split(gates)
        tanh = all_c[1:].tanh()
        gradient = _slopes(gates, all_c[:-1], tanh)
        h_to_c = tanh.square_().neg_().add_(1).mul_(o)
        to_h, to_c = from_above[-1].clone(), torch.zeros_like(all_c[0])
        for t in range(len(gates) - 1, -1, -1):
            here = gradient[t]
            to_c.addcmul_(to_h, h_to_c[t])
            here[:, 2 * size : 3 * size].mul_(to_h)
            here[:, 3 * size :].mul_(to_c)
            here[:, : 2 * size].unflatten(1, (2, size)).mul_(to_c.unsqueeze(1))
            if ctx.bound:
                here.clamp_(-ctx.bound, ctx.bound)
            if t:
                torch.mm(here, weight, out=to_h).mul_(cont[t]).add_(from_above[t - 1])
                to_c.mul_(f[t])
        conted = all_h[:-1] * cont
        return gradient, gradient.flatten(0, 1).t() @ conted.flatten(0, 1), None, None, None, None


def lstm(
    inputs: Tensor, weight: Tensor, cont: Tensor, h: Tensor, c: Tensor, bound: float = 0.0
) -> tuple[Tensor, Tensor]:
    """h and c after each step of an LSTM, T×N×D both; c without a gradient.

    Args:
        inputs: T×N×4D, what x and the bias add to the gates.
        weight: 4D×D; it is multiplied with cont·h of the step before.
        cont: T×N; 0 begins a sequence anew.
        h, c: N×D, the state before the first step.
        bound: what gradients of the gates before activation are clipped to, either way; 0: they are not.
    """
    h_and_c: tuple[Tensor, Tensor] = _LSTM.apply(inputs, weight, cont.detach(), h.detach(), c.detach(), bound)
    return h_and_c


def beginnings(cont: Tensor) -> list[int] | None:
    """The steps at which a sequence begins anew, where cont (T×N, on the CPU) is 0 and 1 only; None where it is not."""
    if not ((cont == 0) | (cont == 1)).all():
        return None
    return [int(t) for t in (cont != 1).any(1).nonzero()]


def lstm_by_sequences(
    x: Tensor, weights: tuple[Tensor, Tensor, Tensor], cont: Tensor, begins: list[int], h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """What :func:`lstm` gives, by torch's own kernel from each step of `begins` (see :func:`beginnings`) to the next.

    On a CPU that is several times faster where N·D is small, and about as fast where it is large
    (benchmarks/recurrent.py).

    Args:
        x: T×N×X.
        weights: 4D×X, 4D (the bias), and 4D×D.

    Returns:
        h after each step, T×N×D, and c after the last, N×D.
    """
    of_x, bias, of_h = (_for_torch(weight) for weight in weights)
    parameters = [of_x, of_h, bias, torch.zeros_like(bias)]
    h, c = h.detach().unsqueeze(0), c.detach().unsqueeze(0)
    pieces, ends = [], [*[t for t in begins if t], len(x)]
    for first, last in zip([0, *ends], ends, strict=False):
        on = cont[first].unsqueeze(-1)
        piece, h, c = torch.lstm(x[first:last], (h * on, c * on), parameters, True, 1, 0.0, False, False, False)
        pieces.append(piece)
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0], c[0].detach()


def _for_torch(gates: Tensor) -> Tensor:
    """Rows for i, f, o, g in torch's order: i, f, g, o."""
    i, f, o, g = gates.chunk(4)
    return torch.cat([i, f, g, o])


class _RNN(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, cont: Tensor, h: Tensor) -> Tensor:
        cont, transposed = cont.unsqueeze(-1), weight.t()
        all_h = h.new_empty(len(inputs) + 1, *h.shape)
        all_h[0] = h
        hs, conted = all_h.unbind(), torch.empty_like(h)
        for t, (x, on) in enumerate(zip(inputs.unbind(), cont.unbind(), strict=True)):
            torch.mul(hs[t], on, out=conted)
            torch.addmm(x, conted, transposed, out=hs[t + 1]).tanh_()
        ctx.save_for_backward(weight, cont, all_h)
        return all_h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor | None, ...]:
        weight, cont, all_h = ctx.saved_tensors
        gradient = all_h[1:].square().neg_().add_(1)
        to_h = from_above[-1].clone()
        for t in range(len(gradient) - 1, -1, -1):
            gradient[t].mul_(to_h)
            if t:
                torch.mm(gradient[t], weight, out=to_h).mul_(cont[t]).add_(from_above[t - 1])
        conted = all_h[:-1] * cont
        return gradient, gradient.flatten(0, 1).t() @ conted.flatten(0, 1), None, None


def rnn(inputs: Tensor, weight: Tensor, cont: Tensor, h: Tensor) -> Tensor:
    """h = tanh(inputs + weight·(cont·h of the step before)) after each step, T×N×D.

    Args:
        inputs: T×N×D, what x and the bias add.
        weight: D×D.
        cont: T×N; 0 begins a sequence anew.
        h: N×D, the state before the first step.
    """
    every_h: Tensor = _RNN.apply(inputs, weight, cont.detach(), h.detach())
    return every_h
