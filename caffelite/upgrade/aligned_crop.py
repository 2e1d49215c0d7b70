"""Crop layers that find out themselves where to cut, as longjon's branch "future" had them: they get `crop_param`.

Every layer on the way from the two bottoms to the blob that both are made of maps coordinates along an axis:
position p of its bottom lies at scale·p + shift of its top.  Convolution and Pooling have scale 1/stride and shift
(pad − (kernel − 1)/2)/stride, Deconvolution and Unpooling the inverse of that; what works value by value leaves them
as they are.  Put together they tell where the second bottom begins in the first.

Source: `src/caffe/layers/crop_layer.cpp`, `include/caffe/util/coords.hpp` of longjon/caffe, branch future, and of
HyeonwooNoh/caffe.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from ..errors import Fault, Places
from .step import Step

ALIGNED = "longjon"
"""The `dialect` of such a Crop."""

WINDOWED = {
    "Convolution": "convolution_param",
    "Pooling": "pooling_param",
    "Deconvolution": "convolution_param",
    "Unpooling": "unpooling_param",
}
ENLARGING = ("Deconvolution", "Unpooling")
PASSING = {
    "AbsVal", "BNLL", "Concat", "Dropout", "Eltwise", "ELU", "Exp", "LRN", "Log", "MVN", "Power", "PReLU", "ReLU",
    "Sigmoid", "Slice", "Softmax", "Split", "TanH", "Threshold",
}  # fmt: skip
"""Types that leave every value where it is."""


class Map(NamedTuple):
    """p → scale·p + shift, along one axis."""

    scale: Fraction
    shift: Fraction

    def after(self, first: Map) -> Map:
        """The map that does `first`, and then this one."""
        return Map(self.scale * first.scale, self.scale * first.shift + self.shift)

    def inverse(self) -> Map:
        """The way back."""
        return Map(1 / self.scale, -self.shift / self.scale)


class _Doubt(Exception):
    """Why a Crop cannot be aligned."""


def align_crops(message: Any, places: Places) -> Step | None:
    """Give every Crop of this kind the offsets that align its bottoms."""
    asked = [index for index, layer in enumerate(message.layer) if layer.type == "Crop" and layer.dialect == ALIGNED]
    if not asked:
        return None
    step = Step(type(message)())
    step.message.CopyFrom(message)
    for index in asked:
        layer = step.message.layer[index]
        try:
            offsets = _offsets(step.message.layer, index)
        except _Doubt as doubt:
            what = f"cannot be aligned: {doubt}"
            help = "write crop_param { axis: 2 offset: … }, where the second bottom begins in the first"
            place = places(f"layer[{index}].type")
            step.faults.append(Fault(what, place, help, layer.name, layer.type, code="CL104"))
            continue
        layer.ClearField("dialect")
        layer.crop_param.axis = 2
        layer.crop_param.offset[:] = offsets
    return step


def _offsets(layers: Any, index: int) -> list[int]:
    """Rows and columns at which the second bottom of a Crop begins in the first."""
    if len(layers[index].bottom) != 2:
        raise _Doubt(f"it needs two bottoms, got {len(layers[index].bottom)}")
    makers: dict[str, Any] = {}
    for layer in layers[:index]:
        for top in layer.top:
            makers.setdefault(top, layer)  # not the layers that work in place
    ways = [_way(makers, blob) for blob in layers[index].bottom]
    meeting = next((blob for blob in ways[1] if blob in ways[0]), None)
    if meeting is None:
        raise _Doubt("its bottoms are made of nothing that they have in common")
    offsets = []
    for axis in (0, 1):
        first, second = (_map_along(makers, way, meeting, axis) for way in ways)
        between = second.after(first.inverse())
        name = ("rows", "columns")[axis]
        if between.scale != 1:
            raise _Doubt(f"the first bottom is {float(1 / between.scale):g} times as fine as the second in {name}")
        if between.shift > 0 or between.shift.denominator != 1:
            raise _Doubt(f"the second bottom begins at {float(-between.shift):g} of the {name} of the first")
        offsets.append(int(-between.shift))
    return offsets


def _way(makers: dict[str, Any], blob: str) -> list[str]:
    """A blob, the first bottom of the layer that makes it, and so on."""
    way = [blob]
    while way[-1] in makers and makers[way[-1]].bottom and makers[way[-1]].bottom[0] not in way:
        way.append(makers[way[-1]].bottom[0])
    return way


def _map_along(makers: dict[str, Any], way: list[str], end: str, axis: int) -> Map:
    """From `end` to the blob that the way begins with."""
    result = Map(Fraction(1), Fraction(0))
    for blob in way[: way.index(end)]:
        result = result.after(_map_of(makers[blob], axis))
    return result


def _map_of(layer: Any, axis: int) -> Map:
    """From a layer's bottom to its top."""
    if layer.type in PASSING:
        return Map(Fraction(1), Fraction(0))
    if layer.type == "Crop" and layer.crop_param.offset:
        offsets = layer.crop_param.offset
        return Map(Fraction(1), Fraction(-offsets[min(axis, len(offsets) - 1)]))
    if layer.type not in WINDOWED:
        raise _Doubt(f'nobody knows how "{layer.name}" ({layer.type}) moves what it gets')
    settings = getattr(layer, WINDOWED[layer.type])
    kernel, stride = (_size(settings, *names, axis) for names in (("kernel_size", "kernel"), ("stride", "stride")))
    pad, dilation = _size(settings, "pad", "pad", axis), list(getattr(settings, "dilation", [])) or [1]
    if kernel < 1 or stride < 1 or getattr(settings, "global_pooling", False):
        raise _Doubt(f'the windows of "{layer.name}" ({layer.type}) have no size')
    extent = (kernel - 1) * dilation[min(axis, len(dilation) - 1)] + 1
    larger = Map(Fraction(stride), Fraction(extent - 1, 2) - pad)
    return larger if layer.type in ENLARGING else larger.inverse()


def _size(settings: Any, whole: str, stem: str, axis: int) -> int:
    """A setting of a window along rows or columns."""
    part = f"{stem}_{'hw'[axis]}"
    if settings.HasField(part):
        return int(getattr(settings, part))
    value = getattr(settings, whole)
    if isinstance(value, int):
        return value
    values = list(value) or [{"kernel": 0, "stride": 1, "pad": 0}[stem]]
    return int(values[min(axis, len(values) - 1)])
