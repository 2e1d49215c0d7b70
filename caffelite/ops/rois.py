"""Pooling regions out of feature maps, as the R-CNN family does.

A region is (image, x1, y1, x2, y2): the number of an image of the batch, and corners in pixels of the net's input
image, which are part of it.  Regions come as a NumPy array, R×5; where cells begin and end is worked out in its
precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Size = tuple[int, int]


def rounded(values: Array) -> Array:
    """To whole numbers, halves away from 0, as C does it (NumPy and torch round them to even numbers)."""
    exact = values.astype(np.float64)
    return np.trunc(exact + np.copysign(0.5, exact)).astype(values.dtype)


def _cut(begin: Array, end: Array, size: int) -> tuple[Array, Array]:
    """Cells from `begin` up to `end` at the edge of a map of `size`, whole numbers."""
    return np.clip(begin, 0, size).astype(np.int64), np.clip(end, 0, size).astype(np.int64)


def max_cells(first: Array, last: Array, count: int, size: int) -> tuple[Array, Array]:
    """Where the `count` cells of regions begin and end along one axis, R×count each, for `max_pool`.

    Args:
        first, last: whole numbers on the map, R; the last is part of the region.
    """
    length, number = np.maximum(last - first + 1, 1), np.arange(count + 1, dtype=first.dtype)
    step = (length / first.dtype.type(count))[:, None]
    start = first[:, None]
    return _cut(np.floor(number[:-1] * step) + start, np.ceil(number[1:] * step) + start, size)


def max_pool(x: Tensor, rois: Array, scale: float, size: Size) -> Tensor:
    """The maximum of every cell of every region, R×C×size, 0 for an empty cell; x is N×C×H×W.

    The gradient goes to the first of equal maxima.  A NaN is the maximum of its cell (the original passes over it).
    Source: `src/caffe/layers/roi_pooling_layer.cpp` of rbgirshick/caffe-fast-rcnn, branch faster-rcnn.
    """
    channels, height, width = x.shape[1:]
    corners = rounded(rois[:, 1:] * rois.dtype.type(scale))
    columns = max_cells(corners[:, 0], corners[:, 2], size[1], width)
    rows = max_cells(corners[:, 1], corners[:, 3], size[0], height)
    axes = ((rows, height), (columns, width))
    images = rois[:, 0].astype(np.int64)
    places = x.new_empty((len(rois), channels, *size), dtype=torch.long)
    with torch.no_grad():
        for region, image in enumerate(images.tolist()):
            inside = (_inside(begin[region], end[region], edge) for (begin, end), edge in axes)
            places[region] = _maxima(x[image], *(torch.from_numpy(each).to(x.device) for each in inside))
    first = torch.from_numpy(images).to(x.device)[:, None] * channels + torch.arange(channels, device=x.device)
    places += (first * height * width)[..., None, None]
    maxima = x.reshape(-1).index_select(0, places.reshape(-1)).reshape(places.shape)
    empty = (rows[0] >= rows[1])[:, :, None] | (columns[0] >= columns[1])[:, None, :]
    return maxima.masked_fill(torch.from_numpy(empty).to(x.device)[:, None], 0) if empty.any() else maxima


def _inside(begin: Array, end: Array, size: int) -> Array:
    """The places in each cell of a region along one axis, cells×most; shorter cells repeat their last place, and empty
    ones hold some place."""
    last = np.maximum(end - 1, begin)
    places = np.minimum(begin[:, None] + np.arange((last - begin).max() + 1), last[:, None])
    return np.minimum(places, size - 1)


def _maxima(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Where in a plane of x, C×H×W, the maximum of each cell is, row by row: C×cells×cells."""
    best, at = x[:, :, columns].max(-1)  # of each row: C×H×cells
    column = columns[torch.arange(len(columns), device=x.device), at]
    at = best[:, rows].argmax(2)  # C×cells×cells
    row = rows[torch.arange(len(rows), device=x.device)[:, None], at]
    return row * x.shape[2] + column.gather(1, row)


def mean_cells(begin: Array, end: Array, count: int, size: int) -> tuple[Array, Array]:
    """Where the `count` cells of regions begin and end along one axis, R×count each, for `mean_pool`.

    Args:
        begin, end: on the map, R; fractions count.
    """
    length, number = np.maximum(end - begin, begin.dtype.type(0.1)), np.arange(count + 1, dtype=begin.dtype)
    step, start = (length / begin.dtype.type(count))[:, None], begin[:, None]
    return _cut(np.floor(number[:-1] * step + start), np.ceil(number[1:] * step + start), size)


def mean_pool(x: Tensor, rois: Array, scale: float, outputs: int, group: int) -> Tensor:
    """The mean of every cell of every region, each from channels of its own, R×outputs×group×group.

    x is N×(outputs·group²)×H×W: cell (i, j) of output d comes from channel (d·group + i)·group + j; an empty cell is 0.
    Source: `src/caffe/layers/psroi_pooling_layer.cu` of daijifeng001/caffe-rfcn.
    """
    height, width = x.shape[2:]
    factor, corners = rois.dtype.type(scale), rounded(rois[:, 1:])
    columns = mean_cells(corners[:, 0] * factor, (corners[:, 2] + 1) * factor, group, width)
    rows = mean_cells(corners[:, 1] * factor, (corners[:, 3] + 1) * factor, group, height)
    # sums over all that is above and to the left, in double precision: differences of them are the sums of cells
    sums = F.pad(x.double().cumsum(2).cumsum(3), (1, 0, 1, 0))
    sums = sums.reshape(len(x), outputs, group * group, -1)
    images = torch.from_numpy(rois[:, 0].astype(np.int64)).to(x.device)[:, None, None]
    output, cell = (torch.arange(count, device=x.device) for count in (outputs, group * group))

    def corner(row: int, column: int) -> Tensor:
        flat = rows[row][:, :, None] * (width + 1) + columns[column][:, None, :]
        place = torch.from_numpy(flat.reshape(len(rois), 1, -1)).to(x.device)
        return sums[images, output[:, None], cell, place]

    area = (rows[1] - rows[0]).clip(0)[:, :, None] * (columns[1] - columns[0]).clip(0)[:, None, :]
    areas = torch.from_numpy(area.reshape(len(rois), 1, -1)).to(x.device)
    total = corner(1, 1) - corner(0, 1) - corner(1, 0) + corner(0, 0)
    means = torch.where(areas > 0, total / areas.clamp(min=1), 0)
    return means.to(x.dtype).reshape(len(rois), outputs, group, group)


def warp(x: Tensor, rois: Tensor, scale: float, size: Size) -> Tensor:
    """Regions brought to one size by bilinear interpolation, R×C×size; x is N×C×H×W, rois R×5.

    Row i of `size[0]` lies at y1 + i·(y2 − y1)/size[0] on the map, y1 and y2 rounded there; columns alike.  More than
    half a place outside the map the value is 0.  The gradient reaches x and the corners, as if these were not rounded.
    Source: `src/caffe/layers/roi_warping_layer.cu` of daijifeng001/caffe-mnc.
    """
    corners = rois[:, 1:] * scale
    corners = corners + (_round(corners) - corners).detach()
    (top, bottom, down, on_rows), (left, right, across, on_columns) = (
        _places(corners[:, axis], corners[:, axis + 2], size[1 - axis], x.shape[3 - axis]) for axis in (1, 0)
    )
    on_map = on_rows[:, :, None] & on_columns[:, None, :]
    images, width = rois[:, 0].detach().long(), x.shape[3]
    result = x.new_zeros((len(rois), x.shape[1], *size))
    for image in images.unique().tolist():
        mine = (images == image).nonzero().squeeze(1)
        plane, values = x[image].flatten(1), []
        for row, of_row in ((top, 1 - down), (bottom, down)):
            for column, of_column in ((left, 1 - across), (right, across)):
                weight = of_row[mine, :, None] * of_column[mine, None, :] * on_map[mine]
                place = row[mine, :, None] * width + column[mine, None, :]
                values.append(plane[:, place] * weight.to(x.dtype))
        result = result.index_copy(0, mine, sum(values[1:], values[0]).transpose(0, 1))
    return result


def _round(values: Tensor) -> Tensor:
    exact = values.double()
    return (exact + torch.copysign(torch.full_like(exact, 0.5), exact)).trunc().to(values.dtype)


def _places(first: Tensor, last: Tensor, count: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`count` places from `first` towards `last`, R×count: the map's places before and behind each, how far it is from
    the former, and whether it is on the map."""
    share = torch.arange(count, device=first.device, dtype=first.dtype) / count
    at = first[:, None] + share * (last - first).clamp(min=0)[:, None]
    on_map, at = (at >= -0.5) & (at <= size - 0.5), at.clamp(0, size - 1)
    before = at.detach().long()
    return before, (before + 1).clamp(max=size - 1), at - before, on_map


def resized(x: Tensor, size: Size) -> Tensor:
    """Planes brought to `size` by bilinear interpolation: place i lies at i·before/after; where that is more than half
    a place beyond the last, the value is 0.

    Source: `src/caffe/layers/mask_resize_layer.cu` of daijifeng001/caffe-mnc.
    """
    rows, columns = (
        torch.from_numpy(_interpolation(before, after)).to(x) for before, after in zip(x.shape[2:], size, strict=True)
    )
    return rows @ x @ columns.t()


def _interpolation(before: int, after: int) -> Array:
    """What each of `before` places counts for each of `after` places, after×before."""
    at = np.arange(after, dtype=np.float32) * (np.float32(before) / np.float32(after))
    weights, inside = np.zeros((after, before)), at <= before - 0.5
    low = np.minimum(at.astype(np.int64), before - 1)
    part = np.minimum(at, before - 1) - low
    np.add.at(weights, (np.arange(after), low), (1 - part) * inside)
    np.add.at(weights, (np.arange(after), np.minimum(low + 1, before - 1)), part * inside)
    return weights
