"""Convolution over any number of spatial axes, with the original's last window."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

_NATIVE = {3: torch.conv1d, 4: torch.conv2d, 5: torch.conv3d}


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
    axes = range(x.dim() - 2)
    short = [dilation[i] * (weight.shape[i + 2] - 1) + 1 - x.shape[i + 2] - 2 * pad[i] for i in axes]
    if any(missing > 0 for missing in short):
        x = F.pad(x, [size for missing in reversed(short) for size in (0, max(0, missing))])
    native = _NATIVE.get(x.dim())
    if native is not None:
        return native(x, weight, bias, stride, pad, dilation, group)
    y = _outer(x, weight, stride, pad, dilation, group)
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
