"""Element-wise functions whose values or gradients Caffe computes in another way than torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

Backward = Callable[[Tensor, Tensor], Tensor]
"""(gradient of the top, where the slope is taken) → gradient of the bottom."""


class _SlopeAtTop(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], backward: Backward) -> Tensor:
        y = function(x)
        ctx.slope = backward
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.slope(gradient, ctx.saved_tensors[0]), None, None


class _SlopeAtBottom(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], backward: Backward) -> Tensor:
        ctx.slope = backward
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.slope(gradient, ctx.saved_tensors[0]), None, None


def _at(x: Tensor, function: Callable[[Tensor], Tensor], backward: Backward, in_place: bool) -> Tensor:
    """The function of x, its slope taken at x; in place at the result."""
    y: Tensor = (_SlopeAtTop if in_place else _SlopeAtBottom).apply(x, function, backward)
    return y


def leaky_relu(x: Tensor, slope: float, in_place: bool) -> Tensor:
    """max(x, 0) + slope·min(x, 0).

    In place the original's backward finds the result where x was; that matters if the slope is negative, since
    then the result is positive throughout (`src/caffe/layers/relu_layer.cpp`).
    """
    if slope >= 0 or not in_place:
        return torch.nn.functional.leaky_relu(x, slope)
    return _SlopeAtTop.apply(
        x,
        lambda x: torch.nn.functional.leaky_relu(x, slope),
        lambda gradient, y: torch.ops.aten.leaky_relu_backward(gradient, y, slope, False),
    )


def softplus(x: Tensor, threshold: float, in_place: bool) -> Tensor:
    """log(1 + eˣ), its slope eᵗ/(eᵗ + 1) at t = min(x, threshold).

    In place the original's backward finds the result where x was, and takes the slope there
    (`src/caffe/layers/bnll_layer.cpp`).
    """
    if not in_place:
        return torch.nn.functional.softplus(x, threshold=threshold)
    return _SlopeAtTop.apply(
        x,
        lambda x: torch.nn.functional.softplus(x, threshold=threshold),
        lambda gradient, y: torch.ops.aten.softplus_backward(gradient, y, 1.0, threshold),
    )


class _Elu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float, in_place: bool) -> Tensor:
        y = torch.nn.functional.elu(x, alpha)
        ctx.alpha, ctx.x = alpha, None if in_place else x
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (y,), alpha = ctx.saved_tensors, ctx.alpha
        if ctx.x is None and alpha >= 0:
            return torch.ops.aten.elu_backward(gradient, alpha, 1, 1, True, y), None, None
        positive = (y if ctx.x is None else ctx.x) > 0
        return torch.where(positive, gradient, gradient * (y + alpha)), None, None


def elu(x: Tensor, alpha: float, in_place: bool) -> Tensor:
    """max(x, 0) + alpha·(e^min(x, 0) − 1), its slope 1 where x > 0, else y + alpha.

    In place the original's backward finds y where x was; that matters if alpha is negative, since then y is positive
    throughout (`src/caffe/layers/elu_layer.cpp`).
    """
    return _Elu.apply(x, alpha, in_place)


def exponential(x: Tensor, inner: float, outer: float) -> Tensor:
    """outer·e^(inner·x), its slope inner·y (`src/caffe/layers/exp_layer.cpp`)."""

    def power(x: Tensor) -> Tensor:
        y = (x if inner == 1 else x * inner).exp()
        return y if outer == 1 else y.mul_(outer)

    return _SlopeAtTop.apply(x, power, lambda gradient, y: (gradient * y).mul_(inner))


def logarithm(x: Tensor, scale: float, shift: float, factor: float, in_place: bool) -> Tensor:
    """factor·log(scale·x + shift), its slope factor·scale/(scale·x + shift).

    In place the original's backward finds y where x was, and takes the slope there (`src/caffe/layers/log_layer.cpp`).
    """

    def inside(x: Tensor) -> Tensor:
        x = x if scale == 1 else x * scale
        return x if shift == 0 else x + shift

    if not in_place:
        y = inside(x).log()
        return y if factor == 1 else y * factor
    return _SlopeAtTop.apply(
        x,
        lambda x: inside(x).log().mul_(factor),
        lambda gradient, y: gradient * (scale * factor) / inside(y),
    )


def clip(x: Tensor, low: float, high: float, in_place: bool) -> Tensor:
    """max(low, min(x, high)): `low` everywhere if that is the larger.  The slope is 1 from `low` to `high`, both
    included, else 0.

    In place the original's backward finds y where x was, so the slope is 1 throughout
    (`src/caffe/layers/clip_layer.cpp`).
    """

    def clamp(x: Tensor) -> Tensor:
        return x.clamp(low, high) if low <= high else x.clamp(max=high).clamp(min=low)

    if not in_place:
        return clamp(x)
    return _SlopeAtTop.apply(x, clamp, lambda gradient, y: gradient * ((y >= low) & (y <= high)))


class _Swish(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float) -> Tensor:
        sigmoid = (x * beta).sigmoid_()
        y = x * sigmoid
        # Kept aside: the original's backward reads y anew, and its own sigmoid.
        ctx.beta, ctx.sigmoid = beta, sigmoid
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        slope = (1 - ctx.sigmoid).mul_(y).mul_(ctx.beta).add_(ctx.sigmoid)
        return slope.mul_(gradient), None


def swish(x: Tensor, beta: float) -> Tensor:
    """x·σ(beta·x), its slope beta·y + σ·(1 − beta·y) (`src/caffe/layers/swish_layer.cpp`)."""
    return _Swish.apply(x, beta)


class _Constant(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: float) -> Tensor:
        return torch.full_like(x, value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return torch.zeros_like(gradient), None


def constant(x: Tensor, value: float) -> Tensor:
    """`value` everywhere, with a gradient of 0 rather than none."""
    return _Constant.apply(x, value)


class _Power(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, exponent: float) -> Tensor:
        # torch takes a reciprocal root for −½, which is −∞ at −0; pow is ∞ there.
        y = (x + 0.0 if exponent == -0.5 else x).pow(exponent)
        ctx.exponent = exponent
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, y = ctx.saved_tensors
        return (y / x).mul_(ctx.exponent).mul_(gradient), None


def power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent with the gradient exponent·y/x, which is NaN at x = 0 (`src/caffe/layers/power_layer.cpp`)."""
    return _Power.apply(x, exponent)


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, *factors: Tensor) -> Tensor:
        y = factors[0] * factors[1]
        for factor in factors[2:]:
            y.mul_(factor)
        ctx.save_for_backward(y, *factors)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        y, *factors = ctx.saved_tensors
        wanted = zip(factors, ctx.needs_input_grad, strict=True)
        return tuple((y / factor).mul_(gradient) if needed else None for factor, needed in wanted)


def product_by_division(factors: Sequence[Tensor]) -> Tensor:
    """The product of two or more tensors with the gradients y/xᵢ: quick, and NaN where a factor is 0
    (`stable_prod_grad: false`, `src/caffe/layers/eltwise_layer.cpp`)."""
    return _Product.apply(*factors)


def capped_relu(x: Tensor, slope: float, cap: float, in_place: bool) -> Tensor:
    """min(max(x, 0) + slope·min(x, 0), cap); the slope at 0 is `slope`, and at `cap` it is 0.

    In place the forks' backward finds the result where x was (`relu6_layer.cpp` of chuanqi305/ssd).
    """

    def backward(gradient: Tensor, at: Tensor) -> Tensor:
        return torch.where(at > 0, gradient * (at < cap), gradient * slope)

    return _at(x, lambda x: torch.nn.functional.leaky_relu(x, slope).clamp(max=cap), backward, in_place)


def divided_below_zero(x: Tensor, by: Tensor | float, in_place: bool) -> Tensor:
    """x where it is above 0, else x/by; the slope at 0 is 1/by.

    In place the fork's backward finds the result where x was (`insanity_layer.cpp` of happynear/caffe-windows).
    """

    def where_positive(value: Tensor, at: Tensor) -> Tensor:
        return torch.where(at > 0, value, value / by)

    return _at(x, lambda x: where_positive(x, x), where_positive, in_place)


def selu(x: Tensor, alpha: float, scale: float, in_place: bool) -> Tensor:
    """scale·(max(x, 0) + alpha·(e^min(x, 0) − 1)), its slope scale, or scale·alpha·eˣ where x ≤ 0.

    In place the fork's backward finds the result where x was (`selu_layer.cpp` of fireae/caffe_latte).
    """

    def forward(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, alpha * torch.expm1(x)) * scale

    def backward(gradient: Tensor, at: Tensor) -> Tensor:
        return gradient * torch.where(at > 0, 1.0, alpha * at.exp()) * scale

    return _at(x, forward, backward, in_place)


def shrunk(x: Tensor, threshold: float, penalty: float) -> Tensor:
    """x brought nearer to 0 by the threshold, and 0 where it is no larger; the gradient has penalty·sign(y) added, and
    with a threshold is 0 where y is 0 (`sparsify_layer.cpp` of wenwei202/caffe)."""

    def backward(gradient: Tensor, y: Tensor) -> Tensor:
        gradient = gradient + penalty * y.sign()
        return gradient * (y != 0) if threshold else gradient

    return _SlopeAtTop.apply(x, lambda x: torch.nn.functional.softshrink(x, threshold), backward)


class _ScaledBy(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, whole: Tensor | None, scaling: tuple[bool, bool, bool]) -> Tensor:
        ctx.scaling = scaling
        ctx.save_for_backward(x, a)
        if not scaling[0]:
            return x.clone()
        return x * (a if whole is None else whole)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, a = ctx.saved_tensors
        _, to_x, to_a = ctx.scaling
        of_a = (gradient * x).sum(1, keepdim=True) if to_a else torch.zeros_like(a)
        return gradient * a if to_x else gradient, of_a, None, None


def scaled_by(x: Tensor, a: Tensor, whole: Tensor | None, scaling: tuple[bool, bool, bool]) -> Tensor:
    """a·x, or whole·x where that is given; the gradients are always those of a·x, a being N×1×….

    Args:
        scaling: whether x is scaled at all, whether the gradient of x is, and whether there is one of a.

    Source: `channel_scale_layer.cu` of happynear/caffe-windows.
    """
    return _ScaledBy.apply(x, a, whole, scaling)


class _ScaledGradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.factor, None


def scaled_gradient(x: Tensor, factor: float) -> Tensor:
    """x, whose gradient is `factor` times that of the result."""
    return _ScaledGradient.apply(x, factor)
