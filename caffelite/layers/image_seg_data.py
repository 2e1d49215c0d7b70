"""ImageSegData: batches of images with a label for each of their pixels."""

from __future__ import annotations

from typing import ClassVar

from ..data.image_pairs import ImagePairs
from ..layerkit import layer
from ..layerkit.segmented import CroppedSegments, Segmented, Words


@layer("ImageSegData")
class ImageSegData(CroppedSegments):
    """Reads the images listed in the text file `source`, and the label of each of their pixels: each line is a path, a
    space, and, by `label_type`, the path of a gray image of labels (PIXEL), or a label for all of them (IMAGE, unless
    set); with NONE all labels are `ignore_label`.  Begins anew at the end; `shuffle` takes the lines in a new order
    every epoch.

    Tops: images, N×C×H×W float32 (C is 3, in the order B, G, R, or 1 with `is_color: false`); labels, N×1×H×W; and, if
    there is a third, height and width that each image had before it was cropped, at most those of the top, N×1×1×2.
    `new_height` and `new_width` resize images between their pixels, labels to the nearest.  transform_param: one of
    `scale_factors` by chance, then what is too small for the crop is filled up below and on the right (with the mean,
    and `ignore_label`), then crop_size (or crop_height and crop_width), mirror, and (x − mean) · scale.

    Source: `src/caffe/layers/image_seg_data_layer.cpp`, `src/caffe/data_transformer.cpp` of hszhao/PSPNet (which
    resizes labels between their values; HyeonwooNoh/caffe, as here, to the nearest).

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or an image is missing or damaged (its line is named), or does not fit the settings.
    """

    fork: ClassVar[str] = "hszhao/PSPNet, HyeonwooNoh/caffe"
    example = """
    layer {
      name: "images" type: "ImageSegData" top: "data" top: "label"
      transform_param { crop_size: 28 mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
      image_data_param { source: "pairs.txt" batch_size: 2 label_type: PIXEL shuffle: true }
    }
    """

    def segmented(self, pairs: ImagePairs, row: int, words: Words) -> Segmented:
        image = pairs.image(row, self.colour, self.size)
        height, width = image.shape[1:]
        label = pairs.label(row, (height, width), self.size)
        return self.transformed(image, label, words, (height, width))
