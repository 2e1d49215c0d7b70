"""Pooling with the original's windows (src/caffe/layers/pooling_layer.cpp and .cu).

Window i of an axis covers [i·stride − pad, i·stride − pad + kernel), cut at the image.  torch's own kernels move the
same windows; they differ in that they refuse a pad beyond half the kernel, and never have an empty last window.

All take x: N×C×H×W and give N×C×H′×W′; maxima and averages keep x's memory format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

Pair = tuple[int, ...]
LOWEST = torch.finfo(torch.float32).min
"""−FLT_MAX: the maximum of an empty window, whatever the type computed in."""


class Grid(NamedTuple):
    """Where the windows lie, as (rows, columns): `ceil` rounds the number of steps up, `size` is that number, H′×W′,
    as the original counts it; `pad` is the padding above and on the left, `after` that below and on the right."""

    kernel: Pair
    stride: Pair
    pad: Pair
    ceil: bool
    size: Pair
    after: Pair


def _not_torchs(grid: Grid) -> bool:
    """Whether torch refuses the padding: beyond half the kernel, or not the same on both sides."""
    beyond_half = 2 * grid.pad[0] > grid.kernel[0] or 2 * grid.pad[1] > grid.kernel[1]
    return beyond_half or grid.pad != grid.after


def torchs(grid: Grid, image: Sequence[int]) -> bool:
    """Whether torch's kernels move these windows over this image just so, none of them empty."""
    if _not_torchs(grid):
        return False
    axes = zip(image, grid.size, grid.kernel, grid.stride, grid.pad, strict=True)
    return all(_steps(size, k, s, p, grid.ceil) == count for size, count, k, s, p in axes)


def _steps(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> int:
    """How many windows torch has on an axis: none begins in the padding behind."""
    spare = size + 2 * pad - kernel
    steps = spare // stride + 1
    return steps + 1 if ceil and spare % stride and steps * stride < size + pad else steps


def _padded(x: torch.Tensor, grid: Grid, value: float) -> tuple[torch.Tensor, Grid]:
    """x with the padding made part of it."""
    (above, left), (below, right) = grid.pad, grid.after
    return F.pad(x, (left, right, above, below), value=value), grid._replace(pad=(0, 0), after=(0, 0))


def _sized(y: torch.Tensor, size: Pair, empty: float) -> torch.Tensor:
    """y cut to `size`, or with the empty windows appended that torch leaves out."""
    if y.shape[2:] == size:
        return y
    return F.pad(y, (0, size[1] - y.shape[3], 0, size[0] - y.shape[2]), value=empty)


def max_pool(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The maximum of every window; of an empty one −FLT_MAX.  The gradient goes to the first of equal maxima.

    A NaN is the maximum of its window (the original's comparison passes over it).
    """
    if _not_torchs(grid):
        x, grid = _padded(x, grid, -torch.inf)
    return _sized(torch.max_pool2d(x, grid.kernel, grid.stride, grid.pad, 1, grid.ceil), grid.size, LOWEST)


def max_pool_with_mask(x: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """`max_pool`, and where each maximum is: h·W + w in its plane as a number of x's type; −1 for an empty window."""
    width, (top, left) = x.shape[3], grid.pad
    padded = _not_torchs(grid)
    if padded:
        x, grid = _padded(x, grid, -torch.inf)
    y, at = F.max_pool2d(x, grid.kernel, grid.stride, grid.pad, 1, grid.ceil, return_indices=True)
    if padded:
        at = (at // x.shape[3] - top) * width + at % x.shape[3] - left
    return _sized(y, grid.size, LOWEST), _sized(at.to(x.dtype), grid.size, -1)


def average_pool(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The sum of every window over the number of positions it covers in the padded image, padding counted.

    An empty window is 0/0 = NaN where it begins right at the edge of the image, and 0 where it begins beyond.
    """
    last = [(n - 1) * s - p for n, s, p in zip(grid.size, grid.stride, grid.pad, strict=True)]
    at_edge = last[0] == x.shape[2], last[1] == x.shape[3]
    if _not_torchs(grid):
        x, grid = _padded(x, grid, 0.0)
    y = _sized(F.avg_pool2d(x, grid.kernel, grid.stride, grid.pad, grid.ceil), grid.size, 0.0)
    if not any(at_edge):
        return y
    empty = torch.zeros(grid.size, dtype=torch.bool, device=x.device)
    empty[-1, :] |= at_edge[0]
    empty[:, -1] |= at_edge[1]
    return y.masked_fill(empty, torch.nan)


def average_of_image(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The sum of every window over the number of positions it covers in the image; 0/0 = NaN where it covers none."""
    width = [_covered(*axis) for axis in zip(x.shape[2:], grid.kernel, grid.stride, grid.pad, grid.size, strict=True)]
    counts = torch.outer(*width).to(x)
    x, grid = _padded(x, grid, 0.0)
    sums = F.avg_pool2d(x, grid.kernel, grid.stride, grid.pad, grid.ceil, divisor_override=1)
    return _sized(sums, grid.size, 0.0) / counts


def _covered(size: int, kernel: int, stride: int, pad: int, count: int) -> torch.Tensor:
    """How many of `size` positions each of `count` windows covers."""
    begin = torch.arange(count) * stride - pad
    return ((begin + kernel).clamp(max=size) - begin.clamp(min=0)).clamp(min=0)


def norm_pool(x: torch.Tensor, grid: Grid, p: float) -> torch.Tensor:
    """(Σ |x|ᵖ)^(1/p) of every window, with a gradient of 0 where that is 0."""
    powers = x.abs().pow(p)
    if _not_torchs(grid):
        powers, grid = _padded(powers, grid, 0.0)
    total = F.avg_pool2d(powers, grid.kernel, grid.stride, grid.pad, grid.ceil, divisor_override=1)
    nothing = total == 0
    return _sized((total + nothing).pow(1 / p) * ~nothing, grid.size, 0.0)


def _windows(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Every window's values in row-major order, N×C×H′×W′×(kernel_h·kernel_w), zero beyond the image."""
    (rows, columns), (down, right), size = grid.kernel, grid.stride, grid.size
    bottom = max(0, (size[0] - 1) * down + rows - x.shape[2])
    side = max(0, (size[1] - 1) * right + columns - x.shape[3])
    x = F.pad(x, (0, side, 0, bottom))
    return x.unfold(2, rows, down).unfold(3, columns, right)[:, :, : size[0], : size[1]].flatten(4)


def stochastic_pool(x: torch.Tensor, grid: Grid, generator: torch.Generator) -> torch.Tensor:
    """One value of every window, drawn with a probability in proportion to it (Zeiler and Fergus, 2013).

    The first value at which the running sum reaches u times the sum of the window, u from (0, 1]; the gradient goes
    to it alone.  No padding; values are meant to be ≥ 0.
    """
    values = _windows(x, grid)
    with torch.no_grad():
        sums = values.cumsum(-1)
        draws = torch.rand(sums.shape[:-1], generator=generator, device=x.device, dtype=x.dtype)
        reached = sums >= (1 - draws).unsqueeze(-1) * sums[..., -1:]
        chosen = reached.to(torch.uint8).argmax(-1, keepdim=True)
    return values.gather(-1, chosen).squeeze(-1)


def stochastic_expectation(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """What `stochastic_pool` gives on average: Σx² / Σx of every window, 0 where the sum is not positive."""
    values = _windows(x, grid)
    total = values.sum(-1)
    positive = total > 0
    return torch.where(positive, values.square().sum(-1) / torch.where(positive, total, 1), 0)
