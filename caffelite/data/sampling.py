"""Chance changes of annotated images: colours, a larger canvas, and windows that have enough in common with a box.

Source: `src/caffe/util/sampler.cpp`, `im_transforms.cpp` (ApplyDistort), `src/caffe/data_transformer.cpp` (ExpandImage,
CropImage) and `layers/annotated_data_layer.cpp` of weiliu89/caffe, branch ssd.  Images are not compressed between these
steps, as they are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import boxes, colours
from .boxes import Box, Boxes, Floats

Bytes = NDArray[np.uint8]

_CONSTRAINTS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "jaccard_overlap": boxes.overlaps,
    "sample_coverage": boxes.coverage,
    "object_coverage": lambda windows, objects: boxes.coverage(objects, windows).T,
}
"""What of a window and a box a SampleConstraint limits."""
_ALL_OF_IT = 0.2
"""Probability that jitter leaves an image as it is."""
_CLOSE = 1e-2
"""A canvas that is at most so much larger is none."""


def faults(transform: Any, samplers: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with a TransformationParameter and BatchSamplers whatever the data: messages, and the fields, from
    the layer's on, that they are about."""
    expansion, distortion = transform.expand_param, transform.distort_param
    if transform.HasField("expand_param"):
        if not expansion.max_expand_ratio > 1:
            message = f"max_expand_ratio must be above 1, got {expansion.max_expand_ratio:g}"
            yield message, "transform_param.expand_param.max_expand_ratio"
        if transform.HasField("mean_file"):
            yield "expand_param needs mean_value, a mean file has no larger canvas", "transform_param.mean_file"
    for name in ("contrast", "saturation"):
        least, most = getattr(distortion, f"{name}_lower"), getattr(distortion, f"{name}_upper")
        if getattr(distortion, f"{name}_prob") > 0 and not 0 <= least <= most:
            message = f"{name}_lower must be from 0 to {name}_upper, got {least:g} and {most:g}"
            yield message, f"transform_param.distort_param.{name}_lower"
    for name in ("brightness", "hue"):
        if getattr(distortion, f"{name}_delta") < 0:
            yield f"{name}_delta must not be negative", f"transform_param.distort_param.{name}_delta"
    if distortion.gaussian_prob:
        message = f"gaussian_prob must be 0, got {distortion.gaussian_prob:g}: nobody published the code of that blur"
        yield message, "transform_param.distort_param.gaussian_prob"
    for index, sampler in enumerate(samplers):
        yield from _sampler_faults(sampler.sampler, f"annotated_data_param.batch_sampler[{index}].sampler")


def _sampler_faults(sampler: Any, field: str) -> Iterator[tuple[str, str]]:
    if not 0 < sampler.min_scale <= sampler.max_scale <= 1:
        message = f"scales must be above 0 and at most 1, got {sampler.min_scale:g} to {sampler.max_scale:g}"
        yield message, f"{field}.min_scale"
    if not 0 < sampler.min_aspect_ratio <= sampler.max_aspect_ratio < math.inf:
        message = f"aspect ratios must be positive, got {sampler.min_aspect_ratio:g} to {sampler.max_aspect_ratio:g}"
        yield message, f"{field}.min_aspect_ratio"


def misfits(transform: Any, channels: int) -> list[tuple[str, str]]:
    """What does not fit images of so many channels: messages, and the fields of the layer that they are about."""
    param, field = transform.distort_param, "transform_param.distort_param"
    needing = [name for name in ("saturation_prob", "hue_prob", "random_order_prob") if getattr(param, name) > 0]
    if channels == 3:
        return []
    return [(f"{name} needs 3 channels (B, G, R), the image has {channels}", f"{field}.{name}") for name in needing]


# -- colours ----------------------------------------------------------------------------------------------------------


def distorted(image: Bytes, param: Any, generator: np.random.Generator) -> Bytes:
    """A C×H×W image with other colours."""

    def happens(name: str) -> bool:
        return generator.random() < getattr(param, f"{name}_prob")

    def within(name: str) -> np.float32:
        return np.float32(generator.uniform(getattr(param, f"{name}_lower"), getattr(param, f"{name}_upper")))

    def either_way(name: str) -> np.float32:
        most = getattr(param, f"{name}_delta")
        return np.float32(generator.uniform(-most, most))

    def contrast(image: Bytes) -> Bytes:
        return _scaled(image, within("contrast")) if happens("contrast") else image

    late = generator.random() <= 0.5
    if happens("brightness"):
        image = colours.saturated(image + either_way("brightness"))
    if not late:
        image = contrast(image)
    if happens("saturation"):
        hue, saturation, value = colours.to_hsv(image)
        image = colours.from_hsv(np.stack([hue, _scaled(saturation, within("saturation")), value]))
    if happens("hue"):
        hue, saturation, value = colours.to_hsv(image)
        image = colours.from_hsv(np.stack([colours.saturated(hue + either_way("hue")), saturation, value]))
    if late:
        image = contrast(image)
    return image[generator.permutation(3)] if happens("random_order") else image


def _scaled(values: Bytes, factor: np.float32) -> Bytes:
    return colours.saturated(values * factor) if abs(factor - 1) > 1e-3 else values


# -- a larger canvas --------------------------------------------------------------------------------------------------


def expanded(image: Bytes, objects: Boxes, transform: Any, generator: np.random.Generator) -> tuple[Bytes, Boxes]:
    """A C×H×W image somewhere on a larger canvas."""
    param = transform.expand_param
    if generator.random() > param.prob or abs(param.max_expand_ratio - 1) < _CLOSE:
        return image, objects
    ratio = np.float32(generator.uniform(1, param.max_expand_ratio))
    channels, height, width = image.shape
    tall, wide = int(height * ratio), int(width * ratio)
    above, left = math.floor(generator.uniform(0, tall - height)), math.floor(generator.uniform(0, wide - width))
    canvas = np.empty((channels, tall, wide), np.uint8)
    canvas[...] = colours.saturated(np.array(transform.mean_value or [0], np.float64))[:, np.newaxis, np.newaxis]
    canvas[:, above : above + height, left : left + width] = image
    size = np.array([width, height, width, height], np.float32)
    window = np.array([-left, -above, wide - left, tall - above], np.float32) / size
    return canvas, objects.seen_in(window, _emit(transform))


def _emit(transform: Any) -> Any | None:
    return transform.emit_constraint if transform.HasField("emit_constraint") else None


# -- windows ----------------------------------------------------------------------------------------------------------


def sampled(
    image: Bytes, objects: Boxes, transform: Any, samplers: Sequence[Any], generator: np.random.Generator
) -> tuple[Bytes, Boxes]:
    """A window of a C×H×W image, one of those that the samplers find; all of it, if they find none."""
    found = [windows_of(sampler, objects, generator) for sampler in samplers if sampler.use_original_image]
    windows = np.concatenate(found) if found else np.empty((0, 4), np.float32)
    if not len(windows):
        return image, objects
    window = windows[int(generator.integers(len(windows)))].clip(0, 1)
    return _cut(image, window), objects.seen_in(window, _emit(transform))


def jittered(
    image: Bytes, objects: Boxes, transform: Any, most: float, keeps_shape: bool, generator: np.random.Generator
) -> tuple[Bytes, Boxes]:
    """A window of a C×H×W image whose sides are 1 − `most` to 1 of the image's: of one image in five all of it, of one
    in five half as much smaller.  `keeps_shape`: width and height are the same part.

    Source: GenerateJitterSamples in `src/caffe/util/sampler.cpp` of eric612/MobileNet-YOLO.
    """
    which = generator.random()
    if which <= _ALL_OF_IT:
        return image, objects
    least = 1 - (most / 2 if which <= 2 * _ALL_OF_IT else most)
    width, height = (np.float32(generator.uniform(least, 1)) for _ in range(2))
    height = width if keeps_shape else height
    left, above = np.float32(generator.uniform(0, 1 - width)), np.float32(generator.uniform(0, 1 - height))
    window = np.array([left, above, left + width, above + height], np.float32).clip(0, 1)
    return _cut(image, window), objects.seen_in(window, _emit(transform))


def _cut(image: Bytes, window: Box) -> Bytes:
    height, width = image.shape[1:]
    left, above, right, below = window * np.array([width, height, width, height], np.float32)
    tall, wide = max(1, int(below - above)), max(1, int(right - left))
    row, column = min(int(above), height - 1), min(int(left), width - 1)
    return image[:, row : row + tall, column : column + wide]


def windows_of(sampler: Any, objects: Boxes, generator: np.random.Generator) -> Floats:
    """The windows that one BatchSampler finds, N×4."""
    trials = int(sampler.max_trials)
    most = int(sampler.max_sample) if sampler.HasField("max_sample") else trials
    windows = _tried(sampler.sampler, trials, generator)
    return windows[satisfying(windows, objects, sampler.sample_constraint)][:most]


def _tried(sampler: Any, trials: int, generator: np.random.Generator) -> Floats:
    one, numbers = np.float32(1), generator.random((4, trials))

    def between(least: Any, most: Any, which: int) -> Floats:
        return np.asarray(least + (most - least) * numbers[which]).astype(np.float32)

    scale = between(sampler.min_scale, sampler.max_scale, 0)
    aspect = between(sampler.min_aspect_ratio, sampler.max_aspect_ratio, 1)
    aspect = np.minimum(np.maximum(aspect, scale * scale), one / (scale * scale))
    width, height = scale * np.sqrt(aspect), scale / np.sqrt(aspect)
    left, above = between(0, one - width, 2), between(0, one - height, 3)
    return np.stack([left, above, left + width, above + height], axis=1)


def satisfying(windows: Floats, objects: Boxes, constraint: Any) -> NDArray[np.bool_]:
    """Which windows, N×4, have enough in common with a box.

    Of several kinds of limits only the first counts: there, too, a box that meets it is enough.
    """
    for kind, measured in _CONSTRAINTS.items():
        least, most = (constraint.HasField(f"{end}_{kind}") for end in ("min", "max"))
        if not (least or most):
            continue
        values = measured(windows, objects.corners)
        fits: NDArray[np.bool_] = np.ones(values.shape, bool)
        if least:
            fits &= values >= np.float32(getattr(constraint, f"min_{kind}"))
        if most:
            fits &= values <= np.float32(getattr(constraint, f"max_{kind}"))
        return np.asarray(fits.any(1))
    return np.ones(len(windows), bool)


def limits(constraint: Any) -> list[str]:
    """The kinds of limits that a SampleConstraint sets, in the order in which they are looked at."""
    return [kind for kind in _CONSTRAINTS if any(constraint.HasField(f"{end}_{kind}") for end in ("min", "max"))]
