"""WindowSegData: batches of windows of images with a label for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..data.image_pairs import ImagePairs, Pixels
from ..data.resize import nearest, resize
from ..errors import DataError
from ..layerkit import layer
from ..layerkit.segmented import CroppedSegments, Segmented, Words


@layer("WindowSegData")
class WindowSegData(CroppedSegments):
    """As ImageSegData, but each line goes on with x1 y1 x2 y2, in pixels and both included: only this window of the
    image is used.  It may reach beyond the image, where it is 0, and labels are `ignore_label`.  `new_height` and
    `new_width` resize the window.  A third top holds height and width of the image the window comes from, at most those
    of the top.

    Source: `src/caffe/layers/window_seg_data_layer.cpp` of HyeonwooNoh/caffe.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or an image is missing or damaged (its line is named), or does not fit the settings.
    """

    fork: ClassVar[str] = "HyeonwooNoh/caffe"
    example = """
    layer {
      name: "windows" type: "WindowSegData" top: "data" top: "label"
      transform_param { crop_size: 28 mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
      image_data_param { source: "boxes.txt" batch_size: 2 label_type: PIXEL new_height: 32 new_width: 32 }
    }
    """

    boxes = True

    def segmented(self, pairs: ImagePairs, row: int, words: Words) -> Segmented:
        image = pairs.image(row, self.colour)
        height, width = image.shape[1:]
        label = pairs.label(row, (height, width))
        assert pairs.boxes is not None
        box = pairs.boxes[row].tolist()
        if box[2] < box[0] or box[3] < box[1]:
            raise DataError(pairs.images.fault(row, f"has the window {box}, which is empty", "write x1 y1 x2 y2"))
        image, label = cut(image, box, 0), cut(label, box, self.ignored)
        if self.size is not None:
            image, label = resize(image, *self.size), nearest(label, *self.size)
        return self.transformed(image, label, words, (height, width))


def cut(pixels: Pixels, box: Sequence[int], outside: int) -> Pixels:
    """The window x1, y1, x2, y2 of C×H×W pixels, both ends included; `outside` beyond the image."""
    x1, y1, x2, y2 = box
    height, width = pixels.shape[1:]
    part = np.full((len(pixels), y2 - y1 + 1, x2 - x1 + 1), outside, np.uint8)
    top, left, bottom, right = max(0, y1), max(0, x1), min(height, y2 + 1), min(width, x2 + 1)
    if top < bottom and left < right:
        part[:, top - y1 : bottom - y1, left - x1 : right - x1] = pixels[:, top:bottom, left:right]
    return part
