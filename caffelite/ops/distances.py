"""Distances of vectors to others: of features to centres (InnerDistance, CenterLoss), and products with unit vectors
where an angle counts several times (MarginInnerProduct)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

from .elementwise import scaled_gradient


class _ToVectors(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, vectors: Tensor, power: int, own: Tensor | None) -> Tensor:
        ctx.power = power
        ctx.save_for_backward(x, vectors, own)
        y = torch.cdist(x, vectors, power, compute_mode="donot_use_mm_for_euclid_dist")
        return y.square_() if power == 2 else y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, vectors, own = ctx.saved_tensors
        counted = gradient if own is None else gradient * own
        if ctx.power == 2:
            to_x = (x * gradient.sum(1, keepdim=True) - gradient @ vectors) * 2
            to_vectors = (vectors * counted.sum(0).unsqueeze(1) - counted.t() @ x) * 2
            return to_x, to_vectors, None, None
        return _by_signs(gradient, x, vectors), _by_signs(counted.t(), vectors, x), None, None


def _by_signs(gradient: Tensor, x: Tensor, others: Tensor) -> Tensor:
    """Σ over n of gradient[m, n]·sign(x[m] − others[n]), M×K: the gradient of Σ |x − v| for x."""
    gradient = gradient.contiguous()
    # The distances themselves, for which `gradient` stands last, are asked for other powers than 1 only.
    y: Tensor = torch.ops.aten._cdist_backward(gradient, x.contiguous(), others.contiguous(), 1.0, gradient)
    return y


def to_vectors(x: Tensor, vectors: Tensor, power: int, own: Tensor | None = None) -> Tensor:
    """Σ |x − v|^power (1 or 2) for each x, M×K, and each v of the vectors, N×K: M×N.

    Args:
        own: M×N, whether a vector gets its part of a gradient; None: it does everywhere.

    Source: `inner_distance_layer.cpp` of happynear/caffe-windows.
    """
    return _ToVectors.apply(x, vectors, power, own)


def belongs(labels: Tensor, count: int) -> Tensor:
    """M×count: whether each of M labels, their fractions cut off, is the number of the column."""
    return labels.detach().reshape(-1, 1).trunc() == torch.arange(count, device=labels.device)


class _CenterLoss(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, centers: Tensor, indices: Tensor) -> Tensor:
        apart = x - centers[indices]
        ctx.save_for_backward(apart, indices)
        ctx.centers = centers.shape
        return apart.square().sum() / (2 * len(x))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        apart, indices = ctx.saved_tensors
        to_centers = apart.new_zeros(ctx.centers).index_add_(0, indices, apart, alpha=-1)
        counts = torch.bincount(indices, minlength=ctx.centers[0]).to(apart)
        return apart * (slope / len(apart)), to_centers / (counts + 1).unsqueeze(1), None


def center_loss(x: Tensor, centers: Tensor, indices: Tensor) -> Tensor:
    """Σ |x_m − c|² / 2M, 0-d, c being the centre of the class of x_m; x: M×K, centers: N×K, indices: M int64.

    The gradient of a centre is Σ (c − x) / (1 + n) over the n vectors of its class, whatever the loss weighs.
    Source: `center_loss_layer.cpp` of ydwen/caffe-face.
    """
    return _CenterLoss.apply(x, centers, indices)


_MULTIPLES = {2: (-1.0, 0.0, 2.0), 3: (0.0, -3.0, 0.0, 4.0), 4: (1.0, 0.0, -8.0, 0.0, 8.0)}
"""cos(m·θ) as a polynomial of cos θ, the constant first, for m from 2 to 4."""


def _falling(cosine: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """The sign and the shift that make ±cos(m·θ) + shift fall all the way from θ = 0 to π."""
    sign = cosine.sign()
    if times == 2:
        return sign, sign - 1
    if times == 3:
        outer = (cosine.abs() - 0.5).sign()
        return outer, sign * (1 + outer) - 2
    inner = sign * (2 * cosine.square() - 1).sign()
    return inner, 2 * sign + inner - 3


class _Margin(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, indices: Tensor, times: int, mix: float) -> Tensor:
        y = x @ weight.t()
        length = x.square().sum(1).sqrt_()
        cosine = y.gather(1, indices.unsqueeze(1)).squeeze(1) / length
        sign, shift = _falling(cosine, times)
        ctx.times, ctx.mix = times, mix
        ctx.save_for_backward(x, weight, indices, length, cosine, sign, shift)
        # |x|·psi(θ) where the class is the sample's, mixed with the product.
        with_margin = length * (sign * _polynomial(cosine, times) + shift)
        y_margin = y.scatter(1, indices.unsqueeze(1), with_margin.unsqueeze(1))
        return (y_margin + mix * y) / (1 + mix)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, indices, length, cosine, sign, shift = ctx.saved_tensors
        to_weight = gradient.t() @ x
        own = gradient.gather(1, indices.unsqueeze(1))
        of_w, of_x = _directions(cosine, length, sign, shift, ctx.times)
        # The original divides both by what their squares sum to; so the step has a length of its own.
        norm = (of_w.square() + of_x.square()).sqrt_()
        direction = (of_w / norm).unsqueeze(1) * weight[indices] + (of_x / norm).unsqueeze(1) * x
        others = gradient.scatter(1, indices.unsqueeze(1), 0.0)
        to_x = (others @ weight + own * direction + ctx.mix * (gradient @ weight)) / (1 + ctx.mix)
        return to_x, to_weight, None, None, None


def _polynomial(cosine: Tensor, times: int) -> Tensor:
    y = torch.zeros_like(cosine)
    for coefficient in reversed(_MULTIPLES[times]):
        y = y * cosine + coefficient
    return y


def _directions(cosine: Tensor, length: Tensor, sign: Tensor, shift: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """The parts of w and of x in the gradient of |x|·psi(θ) by x: psi′(cos θ), and (psi − cos θ·psi′)/|x|."""
    slope = torch.zeros_like(cosine)
    for power in range(times, 0, -1):
        slope = slope * cosine + power * _MULTIPLES[times][power]
    slope = sign * slope
    return slope, (sign * _polynomial(cosine, times) + shift - cosine * slope) / length


def margin_product(x: Tensor, weight: Tensor, indices: Tensor, times: int, mix: float) -> Tensor:
    """x·w for each w of the weight, whose rows have length 1, M×N; where w is that of the sample's class,
    (|x|·psi(θ) + mix·x·w)/(1 + mix), θ being the angle between them and psi falling like cos(m·θ), m = `times`.

    The gradients are the fork's: that of the weight is the plain product's, and that of x for its own class has its
    two parts, along w and along x, divided by the root of their squares' sum.
    Source: `margin_inner_product_layer.cpp` of wy1iu/sphereface.

    Args:
        x: M×K; weight: N×K; indices: M int64.
        times: from 2 to 4.
    """
    return _Margin.apply(x, weight, indices, times, mix)


def large_margin_product(x: Tensor, weight: Tensor, indices: Tensor, times: int, mix: float) -> Tensor:
    """x·w for each w of the weight, M×N; where w is that of the sample's class, (|x|·|w|·psi(θ) + mix·x·w)/(1 + mix),
    psi as in :func:`margin_product`.  Source: `largemargin_inner_product_layer.cpp` of wy1iu/LargeMargin_Softmax_Loss.

    Args:
        x: M×K; weight: N×K; indices: M int64.
        times: from 2 to 4.
    """
    y, column = x @ weight.t(), indices.unsqueeze(1)
    lengths = x.norm(dim=1) * weight[indices].norm(dim=1) + 1e-9
    cosine = y.gather(1, column).squeeze(1) / lengths
    sign, shift = _falling(cosine.detach(), times)
    with_margin = lengths * (sign * _polynomial(cosine, times) + shift)
    return (y.scatter(1, column, with_margin.unsqueeze(1)) + mix * y) / (1 + mix)


def inverse_mean_square(x: Tensor) -> float:
    """1 / mean squared distance of two of the vectors, M×K."""
    squares = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    return (len(x) * len(x) - len(x)) / float(squares.sum())


def pairs(chance: np.random.Generator, count: int, draws: int) -> NDArray[np.int64]:
    """draws×2 numbers below `count`; the two are never the same, the second being the next one if they were."""
    drawn = chance.integers(0, count, (draws, 2))
    drawn[:, 1] = np.where(drawn[:, 0] == drawn[:, 1], (drawn[:, 1] + 1) % count, drawn[:, 1])
    return drawn


def mean_discrepancy(
    source: Tensor, target: Tensor, of_source: Tensor, of_target: Tensor, gammas: Sequence[float]
) -> Tensor:
    """Σ k(s, s′) + k(t, t′) − k(s, t′) − k(s′, t), 0-d, over the pairs of two vectors, s and s′ of source, M×K, and t
    and t′ of target, N×K, whose numbers are given, D×2; k(a, b) = Σ exp(−γ·|a − b|²) over the γ.

    The gradient is that of the sum divided by D.  Source: `mmd_layer.cu` of thuml/transfer-caffe.
    """
    (s, other_s), (t, other_t) = source[of_source].unbind(1), target[of_target].unbind(1)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squares = (a - b).square().sum(1)
        return torch.stack([(-gamma * squares).exp() for gamma in gammas]).sum()

    total = kernel(s, other_s) + kernel(t, other_t) - kernel(s, other_t) - kernel(other_s, t)
    return scaled_gradient(total, 1 / len(of_source))


def too_near(means: Tensor, alpha: float) -> Tensor:
    """The mean over all pairs of C vectors, C×K, of max(alpha − ¼·|m − m′|², 0), 0-d."""
    count = len(means)
    first, second = torch.triu_indices(count, count, 1, device=means.device)
    missing = alpha - (means[first] - means[second]).square().sum(1) / 4
    return missing.clamp(min=0).sum() * 2 / (count * (count - 1))
