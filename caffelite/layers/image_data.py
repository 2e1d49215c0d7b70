"""ImageData: batches of images that a text file lists, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.datum import Records
from ..data.image import Colour
from ..data.image_files import read_labelled
from ..data.image_table import ImageTable
from ..data.label_counts import LabelCounts, count_labels
from ..data.order import Order, Rows
from ..data.telling import folder_of, told_by
from ..data.transform import Transform
from ..errors import DataError
from ..layerkit import Shape, exactly, layer
from ..layerkit.fed import Batch, FedLayer
from ..runtime import seeds

_SIZES = "image_data_param.new_height"
_EQUAL = "give new_height and new_width, or a crop_size"


@layer("ImageData")
class ImageData(FedLayer):
    """Reads the images listed in the text file `source`, each line a path, a space and a label, and begins anew at its
    end; `shuffle` takes them in a new order every epoch.

    Tops: images, N×C×H×W float32 (C is 3, in the order B, G, R, or 1 with `is_color: false`), and labels, N; or N×K,
    where every line has K numbers with commas between them.  `new_height` and `new_width` resize with OpenCV's
    bilinear arithmetic.  Images of different sizes need those, a crop_size, or a batch_size of 1.

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

    tops = exactly(2)
    source = "image_data_param.source"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table: ImageTable | None = None
        self._transform: Transform | None = None
        self._order: tuple[int, Order, int] | None = None

    @property
    def batch_size(self) -> int:
        return int(self.param.image_data_param.batch_size)

    # -- settings -----------------------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.param.image_data_param
        self.require(settings.batch_size > 0, "image_data_param.batch_size", "must be positive")
        self.require(bool(settings.source), self.source, "must name a text file that lists images")
        self.expect(
            bool(settings.new_height) == bool(settings.new_width),
            f"new_height: {settings.new_height} and new_width: {settings.new_width} must both be given, or neither",
            _SIZES,
        )
        self.check_feed()
        self.check_transform()
        for name in ("force_color", "force_gray"):
            if getattr(self.param.transform_param, name):
                self.warn_of(f"transform_param.{name}", "image_data_param { is_color } says it")

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        with told_by(self, self.source):
            first = self._open().image(0)
        with told_by(self, "transform_param"):
            image = self._transformer().shape(first.shape)
        return [(self.batch_size, *image), (self.batch_size, *self._open().label_shape)]

    # -- opening ------------------------------------------------------------------------------------------------

    def _open(self) -> ImageTable:
        if self._table is None:
            settings = self.param.image_data_param
            listed = read_labelled(str(settings.source), str(settings.root_folder), folder_of(self, self.source))
            size = (int(settings.new_height), int(settings.new_width)) if settings.new_height else None
            colour: Colour = "colour" if settings.is_color else "gray"
            self._table = ImageTable(listed, colour, size, self.cache_budget)
            self._check_skip(len(self._table))
        return self._table

    def _check_skip(self, lines: int) -> None:
        rule = f"must not exceed the number of images ({lines})"
        self.require(self.param.image_data_param.rand_skip <= lines, "image_data_param.rand_skip", rule)
        self.raise_faults()

    def _transformer(self) -> Transform:
        if self._transform is None:
            mean = self.read_mean_file()
            self._transform = Transform(self.param.transform_param, self.phase, mean, self.places)
        return self._transform

    def _rows(self, seed: int, position: int) -> Rows:
        """The lines, from 0, of the batch at a position of the stream."""
        settings = self.param.image_data_param
        if self._order is None or self._order[0] != seed:
            order = Order(len(self._open()), (seed, self.name) if settings.shuffle else None)
            skip = seeds.derive(seed, self.name, "rand_skip") % settings.rand_skip if settings.rand_skip else 0
            self._order = (seed, order, skip)
        _, order, skip = self._order
        return order.rows(position + skip, self.batch_size)

    # -- batches ------------------------------------------------------------------------------------------------

    def load(self, seed: int, position: int) -> Batch:
        rows = self._rows(seed, position)
        records = self._open().records(rows)
        self._check_sizes(records, rows)
        transform = self._transformer()
        images = transform.choose(records.images, seed, self.name, position)
        return Batch((records.labels,), images, transform)

    def _check_sizes(self, records: Records, rows: Rows) -> None:
        """Raise DataError unless all images of this batch come out of the transformation in one shape."""
        table, transform = self._open(), self._transformer()
        if isinstance(records.images, np.ndarray):
            transform.shape(records.images.shape[1:])
            return
        first = records.images[0].shape
        wanted = transform.shape(first)
        for row, image in zip(rows.tolist(), records.images, strict=True):
            try:
                fits = transform.shape(image.shape) == wanted
            except DataError as error:
                raise DataError(table.fault(row, f"does not fit: {error.faults[0].message}")) from error
            if not fits:
                here, there = "×".join(map(str, image.shape)), "×".join(map(str, first))
                raise DataError(table.fault(row, f"is {here}, but the first of its batch is {there}", _EQUAL))

    def label_counts(self, top: int) -> LabelCounts:
        if top != 1:
            raise self.cannot_count(top, "it holds images")
        with told_by(self, self.source):
            return count_labels(self._open().labels)

    def close(self) -> None:
        super().close()
        self._table = None
