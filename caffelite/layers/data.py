"""Data: batches of images and labels from a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.cache import Array
from ..data.image import Picture
from ..data.label_counts import LabelCounts
from ..data.order import Order, Rows
from ..data.records import RecordTable
from ..data.sources import acquire, resolve
from ..data.telling import find, folder_of, log, told_by, where_it_looked
from ..data.transform import Transform, colour_of
from ..errors import DataError
from ..layerkit import Shape, between, layer
from ..layerkit.fed import Batch, FedLayer

_WITHOUT_EFFECT = {
    "force_encoded_color": "transform_param { force_color: true } does what it says",
    "rand_skip": "leave it out: reading begins at the first record",
}
"""Fields of data_param that the original's Data layer does not read either.  (Its deprecated transformation fields are
warned of where old nets are upgraded.)"""


@layer("Data")
class Data(FedLayer):
    """Reads an LMDB or LevelDB of Datum records, batch after batch in the order of the keys, and begins anew at its
    end; with `shuffle` (not in the original), in a new order every epoch.

    Tops: images, N×C×H×W float32 (H and W are `crop_size`, if given), and, if there are two, labels, N.  The records of
    a batch may differ in height and width only where `crop_size` makes them equal.  `prefetch` batches are loaded ahead
    by `workers` threads where that pays; a data set that fits into `cache_mib` is kept decoded in memory.

    Source: `src/caffe/layers/data_layer.cpp`, `base_data_layer.cpp`.  As there, `rand_skip` and the deprecated
    transformation fields of data_param have no effect (with a warning).

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the database or mean file is missing or damaged, or does not fit the settings.
    """

    example = """
    layer {
      name: "mnist" type: "Data" top: "data" top: "label"
      transform_param { scale: 0.00390625 }  # 1/256
      data_param { source: "mnist_train_lmdb" backend: LMDB batch_size: 64 }
    }
    """

    tops = between(1, 2)
    source = "data_param.source"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table: RecordTable | None = None
        self._transform: Transform | None = None
        self._order: tuple[int, Order] | None = None

    @property
    def batch_size(self) -> int:
        return int(self.param.data_param.batch_size)

    # -- settings -----------------------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.require(self.param.data_param.batch_size > 0, "data_param.batch_size", "must be positive")
        self.require(bool(self.param.data_param.source), self.source, "must name a database")
        self.check_feed()
        self.check_transform()
        for field, help in _WITHOUT_EFFECT.items():
            if self.param.data_param.HasField(field):
                self.warn_of(f"data_param.{field}", help)

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        table = self._open()
        with told_by(self, self.source):
            first = table.first()
        with told_by(self, "transform_param"):
            image = self._transformer().shape(first.shape)
        forced = [field for field in ("force_color", "force_gray") if getattr(self.param.transform_param, field)]
        if forced and table.met_raw:
            text = f"{forced[0]} has no effect on images that are not encoded"
            log.warning("%s", self.fault(text, f"transform_param.{forced[0]}", severity="warning"))
        return [(self.batch_size, *image), (self.batch_size,)][: len(self.param.top)]

    # -- opening ------------------------------------------------------------------------------------------------

    def _open(self) -> RecordTable:
        if self._table is None:
            param = self.param.data_param
            beside = folder_of(self, self.source)
            with told_by(self, self.source):
                path = find(param.source, beside)
                backend = param.DB.Name(param.backend) if param.HasField("backend") else None
                found = resolve(path, backend, self._help_for_missing(str(param.source)))
                colour = colour_of(self.param.transform_param)
                self._table = RecordTable(acquire(path, found), colour, self.cache_budget)
        return self._table

    def _help_for_missing(self, source: str) -> str:
        folder, _, name = source.rstrip("/").rpartition("/")
        if name in ("mnist_train_lmdb", "mnist_test_lmdb"):
            return f"make it with: caffelite data mnist {folder or '.'}"
        return where_it_looked(source, folder_of(self, self.source))

    def _transformer(self) -> Transform:
        if self._transform is None:
            self._transform = Transform(self.param.transform_param, self.phase, self.read_mean_file(), self.places)
        return self._transform

    def _ordered(self, seed: int) -> Order:
        """Which record stands where in the stream."""
        if self._order is None or self._order[0] != seed:
            shuffled_by = (seed, self.name) if self.param.data_param.shuffle else None
            self._order = (seed, Order(len(self._open()), shuffled_by))
        return self._order[1]

    # -- batches ------------------------------------------------------------------------------------------------

    def load(self, seed: int, position: int) -> Batch:
        table, transform = self._open(), self._transformer()
        rows = self._ordered(seed).rows(position, self.batch_size)
        records = table.records(rows)
        if isinstance(records.images, np.ndarray):
            transform.shape(records.images.shape[1:])
        else:
            self._refuse_unequal(records.images, rows)
        images = transform.choose(records.images, seed, self.name, position)
        return Batch((records.labels.copy(),), images, transform)

    def _refuse_unequal(self, images: Sequence[Array | Picture], rows: Rows) -> None:
        """Raise DataError unless all images of this batch come out of the transformation in one shape."""
        table, transform = self._open(), self._transformer()
        wanted = transform.shape(images[0].shape)
        for row, image in zip(rows.tolist(), images, strict=True):
            if _shape_or_none(transform, image) != wanted:
                first, here = "×".join(map(str, images[0].shape)), "×".join(map(str, image.shape))
                raise DataError(f'record "{table.key(row)}" is {here}, but the first of its batch is {first}')

    def label_counts(self, top: int) -> LabelCounts:
        if top != 1:
            raise self.cannot_count(top, "it holds images")
        with told_by(self, self.source):
            return self._open().label_counts()

    def close(self) -> None:
        super().close()
        if self._table is not None:
            self._table.close()
            self._table = None


def _shape_or_none(transform: Transform, image: Array | Picture) -> Shape | None:
    try:
        return transform.shape(image.shape)
    except DataError:
        return None
