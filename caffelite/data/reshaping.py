"""The part of `transform_param` that gives images another size before they are cropped.

Three forks each have a way: weiliu89/caffe, branch ssd (`resize_param`, and `noise_param` behind it), intel/caffe
(`random_resize_param`, `random_aspect_ratio_param`) and NVIDIA/caffe (`img_rand_resize_lower` and the settings behind
it).  An image goes through NVIDIA's first, then intel's, then the resize.  Sources: `src/caffe/data_transformer.cpp` of
each, and `src/caffe/util/im_transforms.cpp`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..proto import ResizeParameter, TransformationParameter
from ..runtime import seeds
from . import noise
from .colours import saturated
from .interpolation import Interpolation, interpolated

Bytes = NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width."""

_MODES: dict[int, Interpolation] = {
    ResizeParameter.LINEAR: "linear",
    ResizeParameter.AREA: "area",
    ResizeParameter.NEAREST: "nearest",
    ResizeParameter.CUBIC: "cubic",
    ResizeParameter.LANCZOS4: "lanczos4",
}
_ALGORITHMS: dict[int, Interpolation] = {
    TransformationParameter.INTER_NEAREST: "nearest",
    TransformationParameter.INTER_LINEAR: "linear",
    TransformationParameter.INTER_CUBIC: "cubic",
    TransformationParameter.INTER_AREA: "area",
}
_BORDERS: dict[int, Any] = {ResizeParameter.MIRRORED: "reflect", ResizeParameter.REPEAT_NEAREST: "edge"}

_RANGES = (
    ("rand_resize_ratio", "random resize ratio"),
    ("vertical_stretch", "vertical stretch"),
    ("horizontal_stretch", "horizontal stretch"),
)
_F = np.float32
_CLOSE = 0.01
"""Probabilities that sum to 1 up to this sum to 1."""
_BATCHES = 10
"""So many batches have images of one size, where there are several resize_param."""


def _of_nvidia(param: Any) -> bool:
    """Whether NVIDIA's settings ask for another size."""
    if param.img_rand_resize_lower or param.img_rand_resize_upper:
        return True
    return any(param.HasField(f"{name}_{end}") for name, _ in _RANGES for end in ("lower", "upper"))


def faults(param: Any, crop: Size | None) -> Iterator[tuple[str, str, str | None]]:
    """What is wrong with a TransformationParameter in this whatever the data: messages, the fields they are about, and
    what to do."""
    for index, resize in enumerate(param.resize_param):
        for side in ("height", "width"):
            if getattr(resize, side) < 1:
                yield f"resize_param {{ {side} }} must be positive", f"resize_param[{index}].{side}", None
    total = sum(resize.prob for resize in param.resize_param)
    if len(param.resize_param) > 1 and not abs(total - 1) <= _CLOSE:
        yield f"prob of all resize_param must together be 1, got {total:g}", "resize_param[0].prob", None
    if param.HasField("noise_param"):
        for message, field, help in noise.faults(param.noise_param):
            yield message, f"noise_param.{field}", help
    for name in ("random_resize_param", "random_aspect_ratio_param"):
        if param.HasField(name) and crop is None:
            yield f"{name} needs a crop_size", name, "set crop_size"
    yield from _intel_faults(param)
    if _of_nvidia(param):
        if crop is None:
            yield "random sizes need a crop_size", "img_rand_resize_lower", "set crop_size"
        if param.img_rand_resize_upper and param.img_rand_resize_lower > param.img_rand_resize_upper:
            message = "img_rand_resize_lower must not exceed img_rand_resize_upper"
            yield message, "img_rand_resize_lower", None


def _intel_faults(param: Any) -> Iterator[tuple[str, str, str | None]]:
    window, sizes = param.random_aspect_ratio_param, param.random_resize_param
    least, most = window.min_area_ratio, window.max_area_ratio
    if not 0 < least <= most:
        message = f"min_area_ratio must be above 0 and at most max_area_ratio, got {least:g} and {most:g}"
        yield message, "random_aspect_ratio_param.min_area_ratio", None
    if not 0 < window.aspect_ratio_change <= 1:
        message = f"aspect_ratio_change must be above 0 and at most 1, got {window.aspect_ratio_change:g}"
        yield message, "random_aspect_ratio_param.aspect_ratio_change", None
    if sizes.max_size and sizes.min_size > sizes.max_size:
        yield "min_size must not exceed max_size", "random_resize_param.min_size", None


class Reshaping:
    """Of one layer.

    Attributes:
        active: whether anything is done at all.
        random: whether images of one size come out in several.
        centred: whether a mean image is read at its centre, wherever an image is cut.
    """

    def __init__(self, param: Any, crop: Size | None) -> None:
        self.param = param
        self.crop = crop
        self.centred = _of_nvidia(param)
        self._sizes, self._window = param.HasField("random_resize_param"), param.HasField("random_aspect_ratio_param")
        self.policies, self._noise = list(param.resize_param), param.HasField("noise_param")
        self.random = (self.centred or self._sizes or self._window) and not self._fixes_size()
        self.active = bool(self.centred or self._sizes or self._window or self.policies or self._noise)

    def _fixes_size(self) -> bool:
        small = [policy.resize_mode == ResizeParameter.FIT_SMALL_SIZE for policy in self.policies]
        return bool(small) and not any(small)

    def policy(self, seed: int, layer: str, position: int, count: int) -> int:
        """Which resize_param is that of the batch of `count` images at a position."""
        if len(self.policies) < 2:
            return 0
        number = seeds.generator(seed, layer, "resize", position // (_BATCHES * count)).random()
        sums = np.cumsum([policy.prob for policy in self.policies])
        return min(int(np.searchsorted(sums, number * sums[-1])), len(sums) - 1)

    def misfits(self, channels: int) -> list[tuple[str, str]]:
        """What does not fit images of so many channels: messages, and the fields they are about."""
        found = []
        if self._noise:
            found += [
                (message, f"noise_param.{field}") for message, field in noise.misfits(self.param.noise_param, channels)
            ]
        for index, policy in enumerate(self.policies):
            values = len(policy.pad_value)
            if values not in (0, 1, channels):
                message = f"expected one pad_value, or as many as channels ({channels}), got {values}"
                found.append((message, f"resize_param[{index}].pad_value"))
        return found

    def shape(self, image: tuple[int, ...], policy: int = 0) -> tuple[int, int, int]:
        """The shape of what becomes of a C×H×W image; of a size left to chance, one that is large enough to be cut."""
        channels, height, width = image
        if self.random and self.crop is not None:
            height, width = self.crop
        if self.policies:
            height, width = resized_size(self.policies[policy], (height, width))
        if self._noise and self.param.noise_param.jpeg > 0:
            channels = 3
        return channels, height, width

    def __call__(self, image: NDArray[Any], generator: np.random.Generator, policy: int = 0) -> Bytes:
        """What becomes of a C×H×W image.

        Raises:
            DataError: its values are no bytes.
        """
        if image.dtype != np.uint8:
            raise DataError("only images of bytes can be resized or changed, these are of floats", code="CL406")
        if self.centred:
            image = self._as_nvidia(image, generator)
        if self._sizes:
            image = self._as_random_resize(image, generator)
        elif self._window:
            image = self._as_random_window(image, generator)
        if self.policies:
            image = resized(image, self.policies[policy], generator)
        return noise.noised(image, self.param.noise_param, generator) if self._noise else image

    # -- intel/caffe ----------------------------------------------------------------------------------------------

    def _as_random_resize(self, image: Bytes, generator: np.random.Generator) -> Bytes:
        settings = self.param.random_resize_param
        least = int(settings.min_size) or min(image.shape[1:])
        most = int(settings.max_size) or max(image.shape[1:])
        side = int(generator.integers(least, max(least, most) + 1))
        return _to_shorter_side(image, side, settings.resize_param, generator)

    def _as_random_window(self, image: Bytes, generator: np.random.Generator) -> Bytes:
        assert self.crop is not None
        settings, (height, width) = self.param.random_aspect_ratio_param, image.shape[1:]
        for _ in range(settings.max_attempt):
            part = _thousandths(settings.min_area_ratio, settings.max_area_ratio, generator)
            change = _thousandths(settings.aspect_ratio_change, 1 / settings.aspect_ratio_change, generator)
            side = math.sqrt(part * height * width)
            tall, wide = int(side * change), int(side / change)
            if _thousandths(0, 1, generator) < 0.5:
                tall, wide = wide, tall
            if 0 < tall <= height and 0 < wide <= width:
                y, x = int(generator.integers(height - tall + 1)), int(generator.integers(width - wide + 1))
                window = image[:, y : y + tall, x : x + wide]
                return interpolated(window, *self.crop, _mode(settings.resize_param, generator))
        return _to_shorter_side(image, self.crop[0], settings.resize_param, generator)

    # -- NVIDIA/caffe ---------------------------------------------------------------------------------------------

    def _as_nvidia(self, image: Bytes, generator: np.random.Generator) -> Bytes:
        param, (height, width) = self.param, image.shape[1:]
        least, most, shorter = int(param.img_rand_resize_lower), int(param.img_rand_resize_upper), min(height, width)
        if least > 0 and most > 0:
            shorter = int(generator.integers(least, most + 1))
        scale = _F(shorter) / _F(min(height, width))
        tall, wide = scale * _F(height), scale * _F(width)
        if param.rand_resize_ratio_lower >= 1 and param.rand_resize_ratio_upper > 1:
            ratio = _between(param.rand_resize_ratio_lower, param.rand_resize_ratio_upper, generator)
            if wide > tall or (wide == tall and generator.integers(2)):
                wide = tall * ratio
            else:
                tall = wide * ratio
        if param.vertical_stretch_lower > 0 and param.vertical_stretch_upper > 0:
            tall *= _between(param.vertical_stretch_lower, param.vertical_stretch_upper, generator)
        if param.horizontal_stretch_lower > 0 and param.horizontal_stretch_upper > 0:
            wide *= _between(param.horizontal_stretch_lower, param.horizontal_stretch_upper, generator)
        size = [
            max(int(param.crop_size), math.floor(float(side) + 0.5)) for side in (tall, wide)
        ]  # halves away from zero, as lround
        if not param.allow_upscale:
            size = [min(size[0], height), min(size[1], width)]
        shrinks = size[0] <= height and size[1] <= width
        algorithm = param.interpolation_algo_down if shrinks else param.interpolation_algo_up
        return interpolated(image, size[0], size[1], _ALGORITHMS[algorithm])


def _thousandths(least: float, most: float, generator: np.random.Generator) -> float:
    """One of the numbers from least to most in steps of 1/1000."""
    return (int(generator.integers(int((most - least) * 1000 + 1))) + least * 1000) / 1000


def _between(least: float, most: float, generator: np.random.Generator) -> np.float32:
    return _F(generator.uniform(min(least, most), max(least, most)))


# -- weiliu89/caffe, branch ssd ---------------------------------------------------------------------------------------


def resized_size(param: Any, image: Size) -> Size:
    """The size of an image behind a ResizeParameter."""
    height, width = int(param.height), int(param.width)
    if param.resize_mode == ResizeParameter.FIT_SMALL_SIZE:
        aspect = _F(image[1]) / _F(image[0])
        if aspect < _F(width) / _F(height):
            height = int(_F(width) / aspect)
        else:
            width = int(aspect * _F(height))
    return height, width


def resized(image: Bytes, param: Any, generator: np.random.Generator) -> Bytes:
    """A C×H×W image behind a ResizeParameter."""
    how, (height, width) = _mode(param, generator), resized_size(param, image.shape[1:])
    if param.resize_mode != ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
        return interpolated(image, height, width, how)
    aspect = _F(image.shape[2]) / _F(image.shape[1])
    if aspect > _F(width) / _F(height):
        tall, wide = max(1, math.floor(_F(width) / aspect)), width
    else:
        tall, wide = height, max(1, math.floor(aspect * _F(height)))
    inner = interpolated(image, tall, wide, how)
    above, left = (height - tall) // 2, (width - wide) // 2
    sides = [(0, 0), (above, height - tall - above), (left, width - wide - left)]
    if param.pad_mode != ResizeParameter.CONSTANT:
        mode = _BORDERS[param.pad_mode]
        return np.pad(inner, sides, mode)
    result = np.empty((len(image), height, width), np.uint8)
    values = saturated(np.array(param.pad_value or [0], np.float64))
    result[...] = values[:, np.newaxis, np.newaxis]
    result[:, above : above + tall, left : left + wide] = inner
    return result


def _mode(param: Any, generator: np.random.Generator) -> Interpolation:
    modes = param.interp_mode
    return _MODES[modes[int(generator.integers(len(modes)))] if modes else ResizeParameter.LINEAR]


def _to_shorter_side(image: Bytes, side: int, param: Any, generator: np.random.Generator) -> Bytes:
    height, width = image.shape[1:]
    how = _mode(param, generator)
    if height < width:
        return interpolated(image, side, int(_F(width) / _F(height) * _F(side)), how)
    return interpolated(image, int(_F(height) / _F(width) * _F(side)), side, how)
