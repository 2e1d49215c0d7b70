"""Data: batches of images and labels from a database."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.record_table import RecordTable
from ..data.sources import acquire, resolve
from ..data.telling import find, folder_of, where_it_looked
from ..data.transform_param import colour_of
from ..errors import Fault
from ..layerkit import Shape, between, layer
from ..layerkit.labelled_images import LabelledImages

_WITHOUT_EFFECT = {
    "force_encoded_color": "transform_param { force_color: true } does what it says",
    "rand_skip": "reading begins at the first record",
}
"""Fields of data_param that the original's Data layer does not read either.  (Its deprecated transformation fields are
warned of where old nets are upgraded.)"""


@layer("Data")
class Data(LabelledImages):
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
    makes_equal = "give a crop_size"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.require(self.param.data_param.batch_size > 0, "data_param.batch_size", "must be positive")
        self.require(bool(self.param.data_param.source), self.source, "must name a database")
        self.check_feed()
        self.check_transform()

    def warnings(self) -> list[Fault]:
        fields = _WITHOUT_EFFECT.items()
        faults = [fault for name, why in fields for fault in self.without_effect(f"data_param.{name}", why)]
        faults += self.for_boxes_only()
        if isinstance(self._table, RecordTable) and self._table.met_raw:
            for name in ("force_color", "force_gray"):
                if getattr(self.param.transform_param, name):
                    faults += self.without_effect(f"transform_param.{name}", "the images are not encoded")
        return faults

    @property
    def batch_bytes(self) -> int:
        return self.bytes_of_batch

    def open_table(self) -> RecordTable:
        param = self.param.data_param
        path = find(param.source, folder_of(self, self.source))
        backend = param.DB.Name(param.backend) if param.HasField("backend") else None
        found = resolve(path, backend, self._help_for_missing(str(param.source)))
        return RecordTable(acquire(path, found), colour_of(self.param.transform_param), self.cache_budget)

    def _help_for_missing(self, source: str) -> str:
        folder, _, name = source.rstrip("/").rpartition("/")
        if name in ("mnist_train_lmdb", "mnist_test_lmdb"):
            return f"make it with: caffelite data mnist {folder or '.'}"
        return where_it_looked(source, folder_of(self, self.source))
