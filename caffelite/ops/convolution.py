"""Convolution over any number of spatial axes, with the original's last window, and what goes with it: its transpose,
and the windows by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

Moves = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Stride, padding and dilation, a number for each spatial axis."""

_NATIVE = {3: torch.conv1d, 4: torch.conv2d, 5: torch.conv3d}
_TRANSPOSED = {3: torch.conv_transpose1d, 4: torch.conv_transpose2d, 5: torch.conv_transpose3d}


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    pad: Sequence[int],
    dilation: Sequence[int],
    group: int,
) -> torch.Tensor:
    """Cross-correlation of x, N×C×spatial, with weight, O×(C/group)×kernel, plus bias (O).

    Where the window is larger than the padded input, but by less than the stride, the missing positions are zeros
    and there is one output (src/caffe/layers/conv_layer.cpp rounds towards zero).  torch computes 1 to 3 spatial
    axes; each further one is a sum over its kernel positions.
    """
    x = _completed(x, weight.shape[2:], pad, dilation)
    native = _NATIVE.get(x.dim())
    if native is not None:
        return native(x, weight, bias, stride, pad, dilation, group)
    y = _outer(x, weight, stride, pad, dilation, group)
    return _biased(y, bias)


def _completed(x: torch.Tensor, kernel: Sequence[int], pad: Sequence[int], dilation: Sequence[int]) -> torch.Tensor:
    """x, N×C×spatial, with zeros behind where a window is larger than all of the padded input."""
    moves = zip(x.shape[2:], kernel, pad, dilation, strict=True)
    short = [max(0, d * (k - 1) + 1 - size - 2 * p) for size, k, p, d in moves]
    return F.pad(x, [size for missing in reversed(short) for size in (0, missing)]) if any(short) else x


def _biased(y: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return y if bias is None else y + bias.view(-1, *(1,) * (y.dim() - 2))


def _outer(
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    pad: Sequence[int],
    dilation: Sequence[int],
    group: int,
) -> torch.Tensor:
    """The first spatial axis by hand: for each of its kernel positions, the rows it meets join the batch."""
    x = F.pad(x, [0, 0] * (x.dim() - 3) + [pad[0], pad[0]])
    steps = (x.shape[2] - dilation[0] * (weight.shape[2] - 1) - 1) // stride[0] + 1
    total = None
    for tap in range(weight.shape[2]):
        first = tap * dilation[0]
        rows = x[:, :, first : first + (steps - 1) * stride[0] + 1 : stride[0]].transpose(1, 2)
        part = convolve(rows.flatten(0, 1), weight[:, :, tap], None, stride[1:], pad[1:], dilation[1:], group)
        total = part if total is None else total + part
    assert total is not None
    return total.unflatten(0, (x.shape[0], steps)).transpose(1, 2)


def deconvolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    pad: Sequence[int],
    dilation: Sequence[int],
    group: int,
) -> torch.Tensor:
    """The transpose of :func:`convolve` as a map of x, N×C×spatial; weight C×(O/group)×kernel, plus bias (O).

    torch computes 1 to 3 spatial axes; each further one is a sum over its kernel positions.
    """
    native = _TRANSPOSED.get(x.dim())
    if native is not None:
        return native(x, weight, bias, stride, pad, 0, group, dilation)
    return _biased(_spread(x, weight, stride, pad, dilation, group), bias)


def _spread(
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    pad: Sequence[int],
    dilation: Sequence[int],
    group: int,
) -> torch.Tensor:
    """The first spatial axis by hand: for each of its kernel positions, the rows join the batch, and are then added
    where that position puts them."""
    count, steps = x.shape[0], x.shape[2]
    rows, span = x.transpose(1, 2).flatten(0, 1), stride[0] * (steps - 1) + 1
    total = None
    for tap in range(weight.shape[2]):
        part = deconvolve(rows, weight[:, :, tap], None, stride[1:], pad[1:], dilation[1:], group)
        part = part.unflatten(0, (count, steps)).transpose(1, 2)
        if total is None:
            length = span + dilation[0] * (weight.shape[2] - 1)
            total = part.new_zeros(count, part.shape[1], length, *part.shape[3:])
        total[:, :, tap * dilation[0] :][:, :, : span : stride[0]] += part
    assert total is not None
    return total[:, :, pad[0] : total.shape[2] - pad[0]]


def columns(
    x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], dilation: Sequence[int]
) -> torch.Tensor:
    """Every window that :func:`convolve` meets, one below the other: x, N×C×spatial → N×(C·kernel)×positions.

    The channel is the outer part of the second axis, the position in the kernel, in row-major order, the inner.
    """
    x = F.pad(x, [size for p in reversed(pad) for size in (p, p)])
    x = _completed(x, kernel, [0] * len(kernel), dilation)
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), 2):
        x = x.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
    axes = len(kernel)
    x = x.permute(0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    return x.flatten(1, 1 + axes)


def gradients(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    moves: Moves,
    group: int,
    wanted: tuple[bool, bool, bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """The gradients of x, weight and bias where torch computes :func:`convolve`, as far as they are `wanted`."""
    stride, pad, dilation = moves
    found: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, [weight.shape[0]], stride, pad, dilation, False, [0] * len(stride), group, wanted
    )
    return found
