"""Boxes around objects of an image, and what becomes of them where the image is cut, resized and mirrored.

A box is xmin, ymin, xmax, ymax as parts of the image's width and height; all arithmetic is in float32, in the order of
`src/caffe/util/bbox_util.cpp`, `im_transforms.cpp` and `data_transformer.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..proto import EmitConstraint, ResizeParameter

Floats = NDArray[np.float32]
Box = Floats
"""Four numbers."""

WHOLE = np.array([0, 0, 1, 1], np.float32)
"""The box of the image itself."""
_F = np.float32


@dataclass(frozen=True, slots=True)
class Boxes:
    """The objects of an image.

    Attributes:
        corners: G×4.
        labels: the class of each, its number in this class, and whether it is difficult: G×3.
    """

    corners: Floats
    labels: Floats

    def __len__(self) -> int:
        return len(self.corners)

    def those(self, which: NDArray[np.bool_]) -> Boxes:
        """Some of them."""
        return Boxes(self.corners[which], self.labels[which])

    @classmethod
    def of(cls, record: Any) -> Boxes:
        """Those of an AnnotatedDatum."""
        found = [(group.group_label, one) for group in record.annotation_group for one in group.annotation]
        corners = [[one.bbox.xmin, one.bbox.ymin, one.bbox.xmax, one.bbox.ymax] for _, one in found]
        labels = [[label, one.instance_id, one.bbox.difficult] for label, one in found]
        return cls(np.array(corners, np.float32).reshape(-1, 4), np.array(labels, np.float32).reshape(-1, 3))

    def rows(self, item: int) -> Floats:
        """As AnnotatedData gives them: image, class, number in the class, corners, difficult; G×8."""
        items = np.full((len(self), 1), item, np.float32)
        return np.concatenate([items, self.labels[:, :2], self.corners, self.labels[:, 2:]], axis=1)

    def centred(self) -> Floats:
        """As YOLO's layers want them: class − 1, x and y of the centre, width and height; G×5."""
        low, high = self.corners[:, :2], self.corners[:, 2:]
        return np.concatenate([self.labels[:, :1] - 1, (low + high) / 2, high - low], axis=1)

    def seen_in(self, window: Box, emit: Any | None) -> Boxes:
        """What of them is seen in a window of the image, as parts of the window.

        Args:
            window: a box; it may be larger than the image.
            emit: the EmitConstraint on which of those that are partly seen are kept; None: all.
        """
        kept = self if emit is None else self.those(_emitted(self.corners, window, emit))
        low, high = kept.corners[:, :2], kept.corners[:, 2:]
        touches = np.asarray(((low < window[2:]) & (high > window[:2])).all(1))
        kept = kept.those(touches)
        size = np.tile(window[2:] - window[:2], 2)
        corners = ((kept.corners - np.tile(window[:2], 2)) / size).clip(0, 1)
        return replace(kept, corners=corners).those(areas(corners) > 0)

    def mirrored(self) -> Boxes:
        """In the image turned left to right."""
        corners = self.corners.copy()
        corners[:, 0], corners[:, 2] = 1 - self.corners[:, 2], 1 - self.corners[:, 0]
        return replace(self, corners=corners)

    def resized(self, param: Any, image: tuple[int, int]) -> Boxes:
        """Behind a ResizeParameter, in an image that was of this height and width."""
        return replace(self, corners=_resized(self.corners, param, *image))

    def extrapolated(self, param: Any, image: tuple[int, int], window: Box) -> Boxes:
        """Behind FIT_SMALL_SIZE with `height_scale` and `width_scale`: in units of these, where a window was cut out of
        the resized image, which was of this height and width."""
        if not (param.height_scale and param.width_scale and param.resize_mode == ResizeParameter.FIT_SMALL_SIZE):
            return self
        size = _small_size(param, *image) * (window[2:] - window[:2])
        scale = np.array([param.width_scale, param.height_scale], np.float32)
        return replace(self, corners=self.corners * np.tile(size, 2) / np.tile(scale, 2))


def areas(corners: Floats) -> Floats:
    """Of boxes …×4; 0 where one ends before it begins."""
    sides = corners[..., 2:] - corners[..., :2]
    return np.where((sides < 0).any(-1), _F(0), sides[..., 0] * sides[..., 1])


def shared(a: Floats, b: Floats) -> Floats:
    """The area that each of `a` (N×4) has in common with each of `b` (M×4): N×M."""
    low = np.maximum(a[:, np.newaxis, :2], b[np.newaxis, :, :2])
    high = np.minimum(a[:, np.newaxis, 2:], b[np.newaxis, :, 2:])
    sides = (high - low).clip(0)
    return sides[..., 0] * sides[..., 1]


def overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union, N×M."""
    common = shared(a, b)
    union = areas(a)[:, np.newaxis] + areas(b) - common
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def coverage(a: Floats, b: Floats) -> Floats:
    """The part of each of `a` (N×4) that each of `b` (M×4) covers: N×M."""
    common = shared(a, b)
    return np.divide(common, areas(a)[:, np.newaxis], out=np.zeros_like(common), where=common > 0)


def _emitted(corners: Floats, window: Box, emit: Any) -> NDArray[np.bool_]:
    if emit.emit_type == EmitConstraint.MIN_OVERLAP:
        return coverage(corners, window[np.newaxis])[:, 0] > emit.emit_overlap
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    return np.asarray(((centres >= window[:2]) & (centres <= window[2:])).all(1))


def _small_size(param: Any, height: int, width: int) -> Floats:
    """Width and height, not rounded, behind FIT_SMALL_SIZE."""
    aspect, wide, tall = _F(width) / _F(height), _F(param.width), _F(param.height)
    if aspect < wide / tall:
        return np.array([wide, wide / aspect], np.float32)
    return np.array([aspect * tall, tall], np.float32)


def _resized(corners: Floats, param: Any, height: int, width: int) -> Floats:
    image = np.array([width, height], np.float32)
    size = np.array([param.width, param.height], np.float32)
    padding = np.zeros(2, np.float32)
    aspect = _F(width) / _F(height)
    if param.resize_mode == ResizeParameter.FIT_SMALL_SIZE:
        size = _small_size(param, height, width)
    elif param.resize_mode == ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
        if aspect > size[0] / size[1]:
            padding[1] = (size[1] - size[0] / aspect) / 2
        else:
            padding[0] = (size[0] - aspect * size[1]) / 2
    pixels = corners.reshape(-1, 2, 2) * image
    pixels = pixels * (size - 2 * padding) / image
    low, high = padding + np.maximum(pixels[:, 0], 0), padding + np.minimum(pixels[:, 1], size)
    result: Floats = np.concatenate([low / size, high / size], axis=1).astype(np.float32)
    return result
