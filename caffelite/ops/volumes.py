"""Pooling of clips as facebook/C3D does it (src/caffe/layers/pool3d_layer.cpp), N×C×L×H×W → N×C×L′×H′×W′, and its loss
of voxels.

Window i of an axis covers [i·stride − pad, i·stride − pad + kernel), and there are ⌈(size + 2·pad − kernel) / stride⌉ +
1 of them: unlike in Pooling, none is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F

from .by_hand import differentiable
from .pooling import LOWEST

Sizes = tuple[int, ...]


class Grid3D(NamedTuple):
    """Where the windows lie, a number for each of length, height and width; `size`: how many there are."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    size: Sizes


def _whole(x: torch.Tensor, grid: Grid3D, value: float) -> torch.Tensor:
    """x with padding on both sides, so that every window lies inside."""
    spans = [(n - 1) * s + k for n, s, k in zip(grid.size, grid.stride, grid.kernel, strict=True)]
    behind = [max(0, span - p - size) for span, p, size in zip(spans, grid.pad, x.shape[2:], strict=True)]
    sides = [side for p, b in zip(reversed(grid.pad), reversed(behind), strict=True) for side in (p, b)]
    padded = F.pad(x, sides, value=value)
    return padded[:, :, : spans[0], : spans[1], : spans[2]]


def max_pool(x: torch.Tensor, grid: Grid3D) -> torch.Tensor:
    """The maximum of every window, without padding; of an empty one −FLT_MAX.

    Every value that equals a window's maximum gets all of its gradient, as there.
    """

    def forward(x: torch.Tensor) -> Sequence[torch.Tensor]:
        y = F.max_pool3d(_whole(x, grid, -torch.inf), grid.kernel, grid.stride)
        return (y.clamp_min(LOWEST),)

    def backward(
        y: torch.Tensor, gradients: Sequence[torch.Tensor], needed: Sequence[bool]
    ) -> Sequence[torch.Tensor | None]:
        return (_to_all_maxima(x.detach(), y, gradients[0], grid) if needed[0] else None,)

    return differentiable(forward, backward, [x])[0]


def first_max_pool(x: torch.Tensor, grid: Grid3D) -> torch.Tensor:
    """The maximum of every window; of an empty one −FLT_MAX.  The gradient goes to the first of equal maxima."""
    return F.max_pool3d(_whole(x, grid, -torch.inf), grid.kernel, grid.stride).clamp_min(LOWEST)


def _to_all_maxima(x: torch.Tensor, y: torch.Tensor, gradient: torch.Tensor, grid: Grid3D) -> torch.Tensor:
    """For each position of the window, the values there that are the maximum of theirs get its gradient."""
    whole = _whole(x, grid, -torch.inf)
    total = torch.zeros_like(whole)
    for offsets in product(*map(range, grid.kernel)):
        here = tuple(
            slice(at, at + (n - 1) * s + 1, s) for at, n, s in zip(offsets, grid.size, grid.stride, strict=True)
        )
        part = (slice(None), slice(None), *here)
        total[part] += gradient * (whole[part] == y)
    result = torch.zeros_like(x)
    inside = tuple(slice(0, min(a, b)) for a, b in zip(x.shape, whole.shape, strict=True))
    result[inside] = total[inside]
    return result


def average_pool(x: torch.Tensor, grid: Grid3D) -> torch.Tensor:
    """The sum of every window over the number of positions it covers in the padded clip, padding counted.

    That number is 0 for a window that begins right at the end of the padding: 0/0 = NaN.
    """
    sums = F.avg_pool3d(_whole(x, grid, 0.0), grid.kernel, grid.stride, divisor_override=1)
    covered = []
    for axis, (n, s, p, k) in enumerate(zip(grid.size, grid.stride, grid.pad, grid.kernel, strict=True)):
        first = torch.arange(n, device=x.device) * s - p
        shape = [n if other == axis else 1 for other in range(3)]
        covered.append((torch.clamp(first + k, max=x.shape[2 + axis] + p) - first).reshape(shape))
    return sums / math.prod(covered[1:], start=covered[0])


def voxel_softmax_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """−Σ log p[label] over the number of all voxels; scores N×C×…, labels N×… (int64, not negative).

    A label of C or more has no term, but does not leave the gradient alone: each class gets its p.  p is never taken
    smaller than FLT_MIN (src/caffe/layers/voxel_wise_softmax_loss_layer.cpp).
    """
    classes, voxels = scores.shape[1], labels.numel()
    counted = (labels < classes).unsqueeze(1)
    indices = labels.clamp(max=classes - 1).unsqueeze(1)

    def forward(scores: torch.Tensor) -> Sequence[torch.Tensor]:
        p = scores.softmax(1)
        terms = p.gather(1, indices).clamp_min(torch.finfo(torch.float32).tiny).log() * counted
        return (-terms.sum() / voxels,)

    def backward(
        loss: torch.Tensor, gradients: Sequence[torch.Tensor], needed: Sequence[bool]
    ) -> Sequence[torch.Tensor | None]:
        p = scores.detach().softmax(1)
        p.scatter_add_(1, indices, -counted.to(p.dtype))
        return (p * (gradients[0] / voxels),)

    return differentiable(forward, backward, [scores])[0]
