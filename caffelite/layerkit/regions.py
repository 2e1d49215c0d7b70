"""What layers of the R-CNN family share: regions of images, and blobs that may have been N×C or N×C×1×1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from .base import Layer, Shape, exactly

if TYPE_CHECKING:
    from torch import Tensor


def legacy(shape: Shape) -> Shape:
    """A shape as num, channels, height and width, which the original says for blobs of up to 4 axes."""
    return (*shape, *(1,) * (4 - len(shape)))


def expect_images(layer: Layer, shape: Shape) -> None:
    """Note a fault unless the first bottom is N×C×H×W, with at least one place to pool from, and raise what is
    noted."""
    message = f"needs a bottom of 4 axes (num, channels, height, width), none of size 0, got {shape}"
    layer.expect(len(shape) == 4 and 0 not in shape, message, "bottom[0]")
    layer.raise_faults()


def expect_regions(layer: Layer, shape: Shape, position: int = 1) -> None:
    """Note a fault unless a bottom holds regions, R×5 (or R×5×1×1)."""
    told = f"its regions must be R×5, each (image, x1, y1, x2, y2), got shape {shape}"
    layer.expect(len(shape) > 1 and math.prod(shape[1:]) == 5, told, f"bottom[{position}]")


def as_array(tensor: Tensor) -> NDArray[Any]:
    """A bottom's values as a NumPy array, float32 or float64."""
    tensor = tensor.detach().cpu()
    return (tensor if tensor.element_size() > 2 else tensor.float()).numpy()


class PooledRegions(Layer):
    """Base of ROIPooling and ROIWarping: a map and regions of it → the regions at one size, N×C×H×W and R×5 →
    R×C×pooled_h×pooled_w.

    Attributes:
        field: the message of their settings.
        size: pooled_h and pooled_w.
        scale: what corners of regions are multiplied by.
    """

    bottoms = exactly(2)
    field: ClassVar[str]

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(self.field)
        for name in ("pooled_h", "pooled_w", "spatial_scale"):
            self.require(getattr(settings, name) > 0, f"{self.field}.{name}", "must be positive")
        self.size, self.scale = (int(settings.pooled_h), int(settings.pooled_w)), settings.spatial_scale

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, rois = bottoms
        expect_regions(self, rois)
        expect_images(self, x)
        return [(rois[0], x[1], *self.size)]


def regions(layer: Layer, tensor: Tensor, images: int, position: int = 1) -> NDArray[Any]:
    """The regions of a bottom, R×5.

    Raises:
        LayerError: one is of no image of the batch, or has no place.
    """
    found = as_array(tensor).reshape(-1, 5)
    bad = ~(np.isfinite(found).all(1) & (found[:, 0] > -1) & (found[:, 0] < images))
    if bad.any():
        number = int(bad.argmax())
        values = ", ".join(f"{value:g}" for value in found[number])
        told = f"region {number} of its bottom must be in an image from 0 to {images - 1}, got ({values})"
        raise LayerError(layer.fault(told, f"bottom[{position}]"))
    return found


def same_legacy(layer: Layer, shapes: Sequence[Shape], positions: Sequence[int]) -> None:
    """Note a fault for each bottom that differs from the first one in more than axes of size 1 at the end."""
    for position in positions:
        told = f"its bottoms must have one shape, got {shapes[0]} and {shapes[position]}"
        layer.expect(legacy(shapes[position]) == legacy(shapes[0]), told, f"bottom[{position}]")


def expect_predictions(layer: Layer, bottoms: Sequence[Shape], anchors: int) -> None:
    """Note and raise faults unless the bottoms are the predictions for one image, of so many anchors at each place, and
    (height, width, scale) of the image."""
    scores, deltas, info = bottoms[:3]
    place = scores[2:] if len(scores) == 4 else (0, 0)
    told = f"needs the scores of one image for {anchors} anchors, 1×{2 * anchors}×H×W, got shape {scores}"
    layer.expect(scores == (1, 2 * anchors, *place) and 0 not in place, told, "bottom[0]")
    layer.raise_faults()
    told = f"needs boxes relative to {anchors} anchors, {(1, 4 * anchors, *place)}, got shape {deltas}"
    layer.expect(deltas == (1, 4 * anchors, *place), told, "bottom[1]")
    expect_info(layer, info, 2)
    layer.raise_faults()


def expect_info(layer: Layer, shape: Shape, position: int) -> None:
    """Note a fault unless a bottom holds (height, width, scale) of one image."""
    told = f"needs (height, width, scale) of the image, 1×3, got shape {shape}"
    layer.expect(len(shape) > 0 and shape[0] == 1 and math.prod(shape) >= 3, told, f"bottom[{position}]")


def expect_truth(layer: Layer, shape: Shape, position: int) -> None:
    """Note a fault unless a bottom holds boxes of the ground truth, G×5 (or G×5×1×1)."""
    told = f"needs boxes of the ground truth, G×5, each (x1, y1, x2, y2, class), got shape {shape}"
    layer.expect(len(shape) > 1 and math.prod(shape[1:]) == 5, told, f"bottom[{position}]")


def ground_truth(layer: Layer, tensor: Tensor, position: int) -> NDArray[Any]:
    """The boxes of the ground truth of a bottom, G×5.

    Raises:
        LayerError: there is none.
    """
    found = as_array(tensor).reshape(-1, 5)
    if not len(found):
        raise LayerError(layer.fault("needs at least one box of the ground truth, got none", f"bottom[{position}]"))
    return found
