"""ImageData: batches of images that a text file lists, with their labels."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.image_files import read_labelled
from ..data.image_table import ImageTable
from ..data.telling import folder_of
from ..errors import Fault
from ..layerkit import Shape, between, layer
from ..layerkit.labelled_images import LabelledImages


@layer("ImageData")
class ImageData(LabelledImages):
    """Reads the images listed in the text file `source`, each line a path, a space and a label, and begins anew at its
    end; `shuffle` takes them in a new order every epoch.

    Tops: images, N×C×H×W float32 (C is 3, in the order B, G, R, or 1 with `is_color: false`), and labels, N; or N×K,
    where every line has K numbers with commas between them.  With `label: false` (of Tyler-D/DeBlurNet) there are
    images alone, and a line may be a path alone.  `new_height` and `new_width` resize with OpenCV's bilinear
    arithmetic.  Images of different sizes need those, a crop_size, or a batch_size of 1.

    Source: `src/caffe/layers/image_data_layer.cpp`.  Unlike there, labels may be floats, an image that cannot be read
    whole is an error, and `rand_skip` may not exceed the number of lines.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or an image is missing or damaged (its line is named), or does not fit the settings.
    """

    example = """
    layer {
      name: "images" type: "ImageData" top: "data" top: "label"
      transform_param { crop_size: 28 mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
      image_data_param { source: "list.txt" batch_size: 2 new_height: 32 new_width: 32 shuffle: true }
    }
    """

    tops = between(1, 2)
    source = "image_data_param.source"
    makes_equal = "give new_height and new_width, or a crop_size"

    @property
    def most_skipped(self) -> int:
        return int(self.param.image_data_param.rand_skip)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.param.image_data_param
        self.require(settings.batch_size > 0, "image_data_param.batch_size", "must be positive")
        self.require(bool(settings.source), self.source, "must name a text file that lists images")
        wanted, given = 2 if settings.label else 1, len(self.param.top)
        told = "images and labels" if settings.label else "images, with label: false"
        help = "image_data_param { label: false } leaves the labels out" if settings.label else None
        self.expect(given == wanted, f"takes {wanted} top{'s'[: wanted - 1]} ({told}), got {given}", "top", help)
        self.check_both("image_data_param", "new_height", "new_width")
        both = settings.HasField("is_color") and settings.HasField("images_in_color")
        self.expect(
            not both, "images_in_color and is_color are both given", "image_data_param.images_in_color", "keep is_color"
        )
        self.check_feed()
        self.check_transform()

    def warnings(self) -> list[Fault]:
        forced = [name for name in ("force_color", "force_gray") if getattr(self.param.transform_param, name)]
        why = "image_data_param { is_color } says it"
        faults = [fault for name in forced for fault in self.without_effect(f"transform_param.{name}", why)]
        faults += self.for_boxes_only()
        for name in ("label_type", "ignore_label"):
            why = "it belongs to ImageSegData, whose images have a label for each pixel"
            faults += self.without_effect(f"image_data_param.{name}", why)
        return faults

    def open_table(self) -> ImageTable:
        settings = self.param.image_data_param
        listed = read_labelled(
            str(settings.source), str(settings.root_folder), folder_of(self, self.source), settings.label
        )
        rule = f"must not exceed the number of images ({len(listed.labels)})"
        self.require(settings.rand_skip <= len(listed.labels), "image_data_param.rand_skip", rule)
        self.raise_faults()
        coloured = settings.is_color and settings.images_in_color
        return ImageTable(listed, "colour" if coloured else "gray", self.size, self.cache_budget)
