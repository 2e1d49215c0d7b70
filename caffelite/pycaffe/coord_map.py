"""Where a position of one blob lies in another: how layers map coordinates, and the Crop that aligns two tops.

A map is (axis, scale, shift): position p of a layer's bottom lies at scale·p + shift of its top, along every axis
behind `axis`.  Scale and shift are arrays with one number for each of these axes, or one for all; (None, 1, 0) leaves
positions as they are, whatever the axis.

    score = crop(upscore, data)  # the part of upscore that lies over data

Source: `python/caffe/coord_map.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import CaffeliteError, LayerError
from ..netspec import Function, Top, layers

CoordMap = tuple[Any, Any, Any]
"""Axis, scale and shift."""

PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "Eltwise", "ELU", "Log", "LocalContrastNormalization",
    "LRN", "Exp", "MVN", "Power", "ReLU", "PReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH", "Threshold",
]  # fmt: skip
"""Types that leave every value where it is.  Scripts may add their own."""

IDENTITY: CoordMap = (None, 1, 0)


class UndefinedMapException(CaffeliteError):
    """A layer whose tops have no positions that correspond to those of its bottoms."""


class AxisMismatchException(CaffeliteError):
    """Maps along different axes."""


class UnconnectedError(CaffeliteError):
    """Tops that no layers with a map connect.  (A RuntimeError in the original.)"""


class CropError(CaffeliteError, AssertionError):
    """Tops that no Crop can align.  (An AssertionError in the original.)"""


def conv_params(fn: Function) -> tuple[int, Any, Any, Any]:
    """Axis, stride, extent of the (dilated) kernel, and padding of a layer that moves windows.

    Raises:
        LayerError: the size of its kernel is not given.
        UndefinedMapException: its windows are as large as its bottom (global_pooling).
    """
    layer = fn.layer()
    pools = fn.type_name in ("Pooling", "LpPooling")
    settings = layer.pooling_param if pools else layer.convolution_param
    if pools and settings.global_pooling:
        raise UndefinedMapException(f"{fn.type_name} with global_pooling: a top of one position has no coordinates")
    kernel = _sizes(settings, "kernel_size", "kernel", 0)
    if not kernel.all():
        raise LayerError(f"{fn.type_name}: kernel_size is missing, so that positions cannot be mapped")
    dilation = np.array([1]) if pools else _spread(settings.dilation, 1)
    axis = 1 if pools else settings.axis
    return axis, _sizes(settings, "stride", "stride", 1), (kernel - 1) * dilation + 1, _sizes(settings, "pad", "pad", 0)


def _sizes(settings: Any, whole: str, stem: str, default: int) -> Any:
    """A setting for all axes, for each of them, or as *_h and *_w."""
    parts = [f"{stem}_h", f"{stem}_w"]
    if any(settings.HasField(part) for part in parts):
        return np.array([getattr(settings, part) for part in parts])
    value = getattr(settings, whole)
    return np.array([value]) if isinstance(value, int) else _spread(value, default)


def _spread(values: Sequence[int], default: int) -> Any:
    return np.array(list(values) or [default])


def crop_params(fn: Function) -> tuple[int, Any]:
    """The first axis that a Crop crops, and its offsets."""
    settings = fn.layer().crop_param
    return settings.axis, _spread(settings.offset, 0)


def coord_map(fn: Function) -> CoordMap:
    """How a layer maps the coordinates of its bottoms to those of its tops.

    Raises:
        UndefinedMapException: it does not.
    """
    if fn.type_name in ("Convolution", "Pooling", "LpPooling", "Im2col"):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"{fn.type_name} does not map positions of its bottoms to positions of its tops")


def compose(base_map: CoordMap, next_map: CoordMap) -> CoordMap:
    """The map that does `next_map` first and then `base_map`: scale a₁·a₂, shift a₁·b₂ + b₁.

    Raises:
        AxisMismatchException: they are maps along different axes.
    """
    (axis1, a1, b1), (axis2, a2, b2) = base_map, next_map
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"maps behind axis {axis1} and behind axis {axis2} cannot follow each other")
    return axis2 if axis1 is None else axis1, a1 * a2, a1 * b2 + b1


def inverse(coord_map: CoordMap) -> CoordMap:
    """The map the other way: scale 1/a, shift −b/a."""
    axis, a, b = coord_map
    return axis, 1 / a, -b / a


def _maps(top: Top, ends: list[str]) -> Iterator[tuple[Top, CoordMap]]:
    """The maps to a top from itself and from everything below it, the nearest first.

    The types that lead no further are added to `ends`.
    """
    found, waiting = {top: IDENTITY}, deque([top])
    while waiting:
        above = waiting.popleft()
        yield above, found[above]
        bottoms = above.fn.inputs[:1] if above.fn.type_name == "Crop" else above.fn.inputs  # its second only has a size
        try:
            step = coord_map(above.fn)
        except UndefinedMapException:
            ends.append(above.fn.type_name)
            continue
        for bottom in bottoms:
            if bottom not in found:
                found[bottom] = compose(found[above], step)
                waiting.append(bottom)


def coord_map_from_to(top_from: Top, top_to: Top) -> CoordMap:
    """The map from a top to another one, through the nearest blob that both are made of.

    Raises:
        UnconnectedError: layers with a map lead to no such blob.
        AxisMismatchException: layers on the way map along different axes.
    """
    ends: list[str] = []
    from_maps = dict(_maps(top_from, ends))
    for blob, to_map in _maps(top_to, ends):
        if blob in from_maps:
            return compose(to_map, inverse(from_maps[blob]))
    kinds = f"{top_from.fn.type_name} and {top_to.fn.type_name}"
    stopped = ", ".join(dict.fromkeys(ends))
    raise UnconnectedError(
        f"tops of {kinds} are not connected by layers that map positions",
        help=f"the ways down from them end at {stopped}" if stopped else None,
    )


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop of one top to the part that lies over the other one.

    Raises:
        CropError: their scales differ, or the part does not begin at a whole position inside.
        UnconnectedError, AxisMismatchException: as in :func:`coord_map_from_to`.
    """
    axis, a, b = coord_map_from_to(top_from, top_to)
    if not np.all(a == 1):
        raise CropError(f"scale mismatch on crop: {_listed(a)}", help="both must be enlarged or reduced alike")
    if not np.all(b <= 0):
        raise CropError(
            f"cannot crop at a negative offset: {_listed(-b)}", help="pad what is cropped so that it is larger"
        )
    if not np.all(np.round(b) == b):
        raise CropError(f"cannot crop at an offset that is no whole number: {_listed(-b)}")
    offset = np.atleast_1d(-np.round(b).astype(int)).tolist()
    return layers.Crop(top_from, top_to, crop_param={"axis": 2 if axis is None else axis + 1, "offset": offset})


def _listed(numbers: Any) -> str:
    return ", ".join(f"{number:g}" for number in np.atleast_1d(numbers))
