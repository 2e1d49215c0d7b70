"""Element-wise functions whose values or gradients Caffe computes in another way than torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _Sigmoid(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = (x * 0.5).tanh_().mul_(0.5).add_(0.5)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.ops.aten.sigmoid_backward(gradient, ctx.saved_tensors[0])


def sigmoid(x: Tensor) -> Tensor:
    """½·tanh(½x) + ½, which in float32 is exactly 0 below about −17 (`src/caffe/layers/sigmoid_layer.cpp`)."""
    return _Sigmoid.apply(x)


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
        y = x.pow(exponent)
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
