"""Vectors brought to length 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable


class _Scaled(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
        norm = x.square().sum(axes, keepdim=True).add_(eps).sqrt_()
        ctx.save_for_backward(x, norm, scale)
        ctx.axes = axes
        return (x / norm).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, norm, scale = ctx.saved_tensors
        unit, dx, dscale = x / norm, None, None
        if ctx.needs_input_grad[0]:
            along = (unit * gradient).sum(ctx.axes, keepdim=True)
            dx = torch.addcmul(gradient, unit, along, value=-1).div_(norm).mul_(scale)
        if ctx.needs_input_grad[1]:
            others = [axis for axis in range(x.dim()) if scale.shape[axis] == 1]
            dscale = (unit * gradient).sum(others, keepdim=True)
        return dx, dscale, None, None


def scaled(x: Tensor, scale: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """y = s·x/n, where n = √(Σx² + eps) is summed over `axes`; s has as many axes as x, and repeats along those of 1.

    With gradients g of y, that of x is s·(g − x·Σ(x·g)/n²)/n, exact where all of s that x meets along `axes` is the
    same: the source multiplies by s behind the sum.

    Source: `src/caffe/layers/normalize_layer.cpp` of weiliu89/caffe, branch ssd.
    """
    return _Scaled.apply(x, scale, axes, eps)
