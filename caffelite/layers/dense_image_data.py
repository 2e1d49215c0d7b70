"""DenseImageData: batches of images, and images of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..data.image_pairs import ImagePairs
from ..data.transform_param import Floats, by
from ..errors import DataError, Fault
from ..layerkit import Shape, exactly, layer
from ..layerkit.segmented import Segmented, SegmentedImages, Words


@layer("DenseImageData")
class DenseImageData(SegmentedImages):
    """Reads the images listed in the text file `source`, each line a path, a space, and the path of a gray image with
    the label of each pixel; begins anew at the end, and `shuffle` takes the lines in a new order every epoch.

    Tops: images, N×C×H×W float32 (C is 3, in the order B, G, R, or 1 with `is_color: false`), and labels, N×1×H×W.
    `new_height` and `new_width` resize images between their pixels, labels to the nearest.  With `label_divide_factor`
    (of TimoSaemann/caffe-enet) labels are resized to sizes divided by it, rounded down.  Then `mirror`, by chance, and
    `crop_height` and `crop_width`, anywhere, all of it in TRAIN and in TEST.  Images (not labels) become
    (x − mean) · scale by transform_param; images of different sizes need a batch_size of 1, or one of the above.

    Source: `src/caffe/layers/dense_image_data_layer.cpp` of alexgkendall/caffe-segnet.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or an image is missing or damaged (its line is named), or does not fit the settings.
    """

    fork: ClassVar[str] = "alexgkendall/caffe-segnet, TimoSaemann/caffe-enet"
    example = """
    layer {
      name: "images" type: "DenseImageData" top: "data" top: "label"
      dense_image_data_param { source: "pairs.txt" batch_size: 2 shuffle: true mirror: true }
    }
    """

    tops = exactly(2)
    source = "dense_image_data_param.source"
    reads = frozenset({"scale", "mean_value", "mean_file", "mirror", "crop_size"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mean: Floats | None = None

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width of what is cut out."""
        settings = self.given
        return (int(settings.crop_height), int(settings.crop_width)) if settings.crop_height else None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.check_list()
        self.check_segments()
        settings, transform = self.given, self.param.transform_param
        self.check_both(self.holder, "crop_height", "crop_width")
        for name, instead in (("mirror", "mirror: true"), ("crop_size", "crop_height and crop_width")):
            only = f"transform_param {{ {name} }} would not change the labels"
            help = f"write dense_image_data_param {{ {instead} }}"
            self.expect(not getattr(transform, name), only, f"transform_param.{name}", help)
        both = "mean_file and mean_value are both given"
        once = not (transform.HasField("mean_file") and transform.mean_value)
        self.expect(once, both, "transform_param.mean_value", "keep one of the two")
        factor = f"{self.holder}.label_divide_factor"
        self.require(settings.label_divide_factor > 0, factor, "must be positive")
        if settings.label_divide_factor > 1:
            self.expect(bool(settings.new_height), "label_divide_factor needs new_height and new_width", factor)
            whole = "label_divide_factor is not for images that are cropped"
            self.expect(self.crop is None, whole, factor, "leave crop_height and crop_width out")

    def warnings(self) -> list[Fault]:
        why = "transform_param { mean_file } is the one that counts"
        return [*super().warnings(), *self.without_effect(f"{self.holder}.mean_file", why)]

    def segmented(self, pairs: ImagePairs, row: int, words: Words) -> Segmented:
        settings, size = self.given, self.size
        image = pairs.image(row, self.colour, size)
        height, width = image.shape[1:]
        factor = int(settings.label_divide_factor)
        label = pairs.label(row, (height, width), None if size is None else (size[0] // factor, size[1] // factor))
        if settings.mirror and words[0] & 1:
            image, label = image[:, :, ::-1], label[:, :, ::-1]
        image, label = self.cut_anywhere(image, label, words, row, "crop_height × crop_width")
        values = (image - self._mean_of(image.shape)) * np.float32(self.param.transform_param.scale)
        return Segmented(values, label.astype(np.float32), (height, width))

    def _mean_of(self, shape: Shape) -> Floats:
        """The mean of every pixel, broadcastable."""
        if self._mean is None:
            mean = self.read_mean_file()
            self._mean = self.mean_values() if mean is None else mean
        if self._mean.shape[1:] != (1, 1) and self._mean.shape != shape:
            message = f"the mean file is {by(self._mean.shape)}, the image {by(shape)}"
            raise DataError(self.fault(message, "transform_param.mean_file", code="CL607"))
        return self._mean

    def close(self) -> None:
        super().close()
        self._mean = None
