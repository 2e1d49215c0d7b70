"""HDF5Data: rows of HDF5 files, any number of tops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..data.hdf5 import Hdf5Rows, Listed, read_list, row_shapes
from ..data.telling import folder_of, log, told_by
from ..layerkit import Run, Shape, SourceLayer, at_least, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

_SOURCE = "hdf5_data_param.source"


@layer("HDF5Data")
class HDF5Data(SourceLayer):
    """Reads the HDF5 files listed in the text file `source`, row after row, and begins anew after the last.

    Every top is a data set of its name: its rows become N×…, float32, N being batch_size.  A batch may span files.
    Files are read by blocks of about 32 MiB, and need not fit into memory.  `shuffle` takes the files in a new order
    every epoch, and the rows inside each: all of them up to 256 MiB (as float32), else blocks in a new order and the
    rows of neighbours in that order, 256 MiB at a time; rows of different files do not mix.

    Source: `src/caffe/layers/hdf5_data_layer.cpp`.  Unlike there, a transform_param is warned of, not refused: it has
    no effect.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or a file is missing or damaged, lacks a data set, or data sets differ in length.
    """

    tops = at_least(1)

    _files: list[Listed] | None = None
    _rows: Hdf5Rows | None = None
    _seed: int | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.require(self.param.hdf5_data_param.batch_size > 0, "hdf5_data_param.batch_size", "must be positive")
        self.require(bool(self.param.hdf5_data_param.source), _SOURCE, "must name a text file that lists HDF5 files")
        if self.param.HasField("transform_param"):
            text = "transform_param has no effect in an HDF5Data layer"
            help = "leave it out, and write the files with the values the net is to see"
            log.warning("%s", self.fault(text, "transform_param", help, "warning"))

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        with told_by(self, _SOURCE):
            rows = row_shapes(self._listed()[0], list(self.param.top))
        return [(int(self.param.hdf5_data_param.batch_size), *shape) for shape in rows]

    def _listed(self) -> list[Listed]:
        """The files that `source` lists."""
        if self._files is None:
            self._files = read_list(str(self.param.hdf5_data_param.source), folder_of(self, _SOURCE))
        return self._files

    def _reading(self, seed: int) -> Hdf5Rows:
        """The rows, in the order that this seed gives them."""
        if self._rows is None or self._seed != seed:
            shuffled_by = (seed, self.name) if self.param.hdf5_data_param.shuffle else None
            self._rows, self._seed = Hdf5Rows(self._listed(), list(self.param.top), shuffled_by), seed
        return self._rows

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        count = int(self.param.hdf5_data_param.batch_size)
        with told_by(self, _SOURCE):
            batch = self._reading(run.seed).read(self.consumed, count)
        self.consumed += count
        return tuple(torch.from_numpy(part).to(run.device) for part in batch)

    def close(self) -> None:
        self._rows = None
