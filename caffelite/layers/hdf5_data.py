"""HDF5Data: rows of HDF5 files, any number of tops."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.hdf5 import Hdf5Rows, Listed, measured, read_list
from ..data.hdf5_file import Table
from ..data.label_counts import LabelCounts, count_row_labels
from ..data.telling import folder_of, told_by
from ..errors import Fault
from ..layerkit import Shape, at_least, layer
from ..layerkit.fed import Batch, FedLayer


@layer("HDF5Data")
class HDF5Data(FedLayer):
    """Reads the HDF5 files listed in the text file `source`, row after row, and begins anew after the last.

    Every top is a data set of its name: its rows become N×…, float32, N being batch_size.  A batch may span files.
    Files are read by blocks of about 32 MiB, and need not fit into memory.  `shuffle` takes the files in a new order
    every epoch, and the rows inside each: all of them up to 256 MiB (as float32), else blocks in a new order and the
    rows of neighbours in that order, 256 MiB at a time; rows of different files do not mix.

    Source: `src/caffe/layers/hdf5_data_layer.cpp`.  Unlike there, a transform_param is warned of, not refused (it has
    no effect), and rows that were never written are an error, not zeros.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or a file is missing or damaged, lacks a data set, or data sets differ in length.
    """

    example = """
    layer {
      name: "table" type: "HDF5Data" top: "data" top: "label"
      hdf5_data_param { source: "train_h5_list.txt" batch_size: 10 shuffle: true }
    }
    """

    tops = at_least(1)
    opened = frozenset({"_feed", "_rows"})
    source = "hdf5_data_param.source"
    most_workers = 1  # rows are read a block at a time, and the next batch needs the block that is there

    _files: list[tuple[Listed, Table]] | None = None
    _rows: tuple[int, Hdf5Rows] | None = None

    @property
    def batch_size(self) -> int:
        return int(self.param.hdf5_data_param.batch_size)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.require(self.param.hdf5_data_param.batch_size > 0, "hdf5_data_param.batch_size", "must be positive")
        rule = "must name a text file that lists HDF5 files"
        self.require(bool(self.param.hdf5_data_param.source), self.source, rule)
        self.check_feed()

    def warnings(self) -> list[Fault]:
        help = "leave it out, and write the files with the values the net is to see"
        return self.without_effect("transform_param", "rows are taken as they are", help)

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        with told_by(self, self.source):
            _, first = self._listed()[0]
        return [(self.batch_size, *shape) for shape in first.row_shapes]

    def _listed(self) -> list[tuple[Listed, Table]]:
        """The files that `source` lists, and what they hold."""
        if self._files is None:
            files = read_list(str(self.param.hdf5_data_param.source), folder_of(self, self.source))
            self._files = measured(files, list(self.param.top))
        return self._files

    @property
    def records(self) -> int:
        with told_by(self, self.source):
            return sum(table.blocks.rows for _, table in self._listed())

    def load(self, seed: int, position: int) -> Batch:
        if self._rows is None or self._rows[0] != seed:
            shuffled_by = (seed, self.name) if self.param.hdf5_data_param.shuffle else None
            self._rows = seed, Hdf5Rows(self._listed(), list(self.param.top), shuffled_by)
        return Batch(tuple(self._rows[1].read(position, self.batch_size)))

    def label_counts(self, top: int) -> LabelCounts:
        with told_by(self, self.source):
            name = [str(self.param.top[top])]
            files = [file for file, _ in self._listed()]
            return count_row_labels(Hdf5Rows(measured(files, name), name))

    def close(self) -> None:
        super().close()
        self._rows = None
