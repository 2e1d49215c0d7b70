"""ImageLabelmapData: batches of images, and maps of what is an edge or an object in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..data.image_pairs import ImagePairs
from ..data.resize import resize
from ..layerkit import Shape, exactly, layer
from ..layerkit.segmented import Segmented, SegmentedImages, Words


@layer("ImageLabelmapData")
class ImageLabelmapData(SegmentedImages):
    """Reads the images listed in the text file `source`, each line a path, a space, and the path of a gray image as
    large that is bright where the label is 1; begins anew at the end, and `shuffle` takes the lines in a new order
    every epoch.

    Tops: images, N×C×H×W float32 (C is 3, in the order B, G, R, or 1 with `is_color: false`), and labels, N×1×H×W: 1
    where the gray image is 128 or more, else 0; or with `normalize: false` what it holds, 0 to 255.  `new_height` and
    `new_width` resize both between their pixels.  transform_param: crop_size, anywhere in TRAIN and in TEST, and
    mirror, of both; (x − mean) · scale, of images.  Images of different sizes need one of these, or a batch_size of 1.

    Source: `src/caffe/layers/image_labelmap_data_layer.cpp`, `src/caffe/data_transformer.cpp` of s9xie/hed, and of
    Andrew-Qibin/caffe_dss, which added `normalize`; Xie and Tu, "Holistically-nested edge detection", 2015.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or an image is missing or damaged (its line is named), or does not fit the settings.
    """

    fork: ClassVar[str] = "s9xie/hed, Andrew-Qibin/caffe_dss"
    example = """
    layer {
      name: "images" type: "ImageLabelmapData" top: "data" top: "label"
      transform_param { mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
      image_data_param { source: "maps.txt" batch_size: 1 shuffle: true }
    }
    """

    tops = exactly(2)
    source = "image_data_param.source"
    reads = frozenset({"scale", "mean_value", "mirror", "crop_size"})

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width of what is cut out."""
        side = int(self.param.transform_param.crop_size)
        return (side, side) if side else None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.check_list()
        self.check_segments()

    def segmented(self, pairs: ImagePairs, row: int, words: Words) -> Segmented:
        settings, transform = self.given, self.param.transform_param
        image = pairs.image(row, self.colour)
        label = pairs.label(row, image.shape[1:])
        if self.size is not None:
            image, label = resize(image, *self.size), resize(label, *self.size)
        height, width = image.shape[1:]
        values = (image - self.mean_values()) * np.float32(transform.scale)
        whole = settings.HasField("normalize") and not settings.normalize
        labels = (label if whole else label >= 128).astype(np.float32)
        values, labels = self.cut_anywhere(values, labels, words, row, "crop_size")
        if transform.mirror and words[0] & 1:
            values, labels = values[:, :, ::-1], labels[:, :, ::-1]
        return Segmented(values, labels, (height, width))
