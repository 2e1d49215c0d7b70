"""Windows of images whose taps are moved, and filters over them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Moves(Protocol):
    """How windows move: rows, then columns."""

    @property
    def kernel(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def pad(self) -> tuple[int, ...]: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...


def bent_columns(x: Tensor, moves: Tensor, window: Moves, groups: int) -> Tensor:
    """The taps of every window of x, N×C×H×W, moved: N×C×taps×H′×W′.

    Args:
        moves: N×(2·groups·taps)×H′×W′: for each group of channels and each tap how far down, and how far right.

    Between pixels values are interpolated, between the last pixel and the edge behind it the last one counts, and
    beyond all edges lie zeros.  Source: `deformable_im2col.cu` of unsky/FPN.
    """
    count, channels, height, width = x.shape
    taps, sizes = window.kernel[0] * window.kernel[1], moves.shape[2:]
    by = moves.reshape(count, groups, taps, 2, *sizes)
    rows = by[:, :, :, 0] + _unmoved(window, 0, sizes, x)
    columns = by[:, :, :, 1] + _unmoved(window, 1, sizes, x)
    inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    (top, bottom, down), (left, right, over) = _between(rows, height), _between(columns, width)
    image = x.reshape(count, groups, channels // groups, height * width)

    def at(row: Tensor, column: Tensor) -> Tensor:
        index = (row * width + column).flatten(2).unsqueeze(2).expand(-1, -1, channels // groups, -1)
        return image.gather(3, index).reshape(count, groups, channels // groups, taps, *sizes)

    down, over, inside = (part.unsqueeze(2) for part in (down, over, inside))
    upper = at(top, left) * (1 - over) + at(top, right) * over
    lower = at(bottom, left) * (1 - over) + at(bottom, right) * over
    return ((upper * (1 - down) + lower * down) * inside).reshape(count, channels, taps, *sizes)


def _unmoved(window: Moves, axis: int, sizes: torch.Size, like: Tensor) -> Tensor:
    """Where the taps lie on an axis of the image: taps×H′×W′."""
    steps = torch.arange(sizes[axis], device=like.device) * window.stride[axis] - window.pad[axis]
    taps = torch.arange(window.kernel[axis], device=like.device) * window.dilation[axis]
    shape = [window.kernel[0], window.kernel[1], *sizes]
    places = taps.reshape([-1, 1, 1, 1] if axis == 0 else [1, -1, 1, 1])
    places = places + steps.reshape([1, 1, -1, 1] if axis == 0 else [1, 1, 1, -1])
    return places.to(like.dtype).expand(shape).flatten(0, 1)


def _between(places: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels before and behind each place on an axis, and how far it is from the first of them to the second."""
    before = places.detach().floor().clamp(0, size - 1)
    behind = (before + 1).clamp(max=size - 1)
    return before.long(), behind.long(), torch.where(behind > before, places - before, 0)


def filtered(columns: Tensor, weight: Tensor, bias: Tensor | None = None, *, group: int) -> Tensor:
    """The sum over channels and taps of columns, N×C×taps×H′×W′, times weight, O×(C/group)×kernel, plus bias (O)."""
    count, channels, taps, *sizes = columns.shape
    columns = columns.reshape(count, group, channels // group * taps, -1)
    y = weight.reshape(group, weight.shape[0] // group, -1) @ columns
    y = y.reshape(count, weight.shape[0], *sizes)
    return y if bias is None else y + bias.reshape(-1, 1, 1)
