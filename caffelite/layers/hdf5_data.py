"""HDF5Data: rows of HDF5 files, any number of tops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.hdf5 import Hdf5Rows, shapes_in
from ..data.telling import find, folder_of, told_by, where_it_looked
from ..errors import DataError, Fault
from ..layerkit import Run, Shape, SourceLayer, at_least, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

_SOURCE = "hdf5_data_param.source"


@layer("HDF5Data")
class HDF5Data(SourceLayer):
    """Reads the HDF5 files listed in the text file `source`, row after row, and begins anew after the last.

    Every top is a data set of its name: its rows become N×…, float32, N being batch_size.  A batch may span files.
    `shuffle` takes the files, and the rows inside each, in a new order every epoch.

    Source: `src/caffe/layers/hdf5_data_layer.cpp`.  As there, a transform_param is refused.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or a file is missing or damaged, lacks a data set, or data sets differ in length.
    """

    tops = at_least(1)

    _files: list[Path] | None = None
    _rows: Hdf5Rows | None = None
    _seed: int | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.require(self.param.hdf5_data_param.batch_size > 0, "hdf5_data_param.batch_size", "must be positive")
        self.require(bool(self.param.hdf5_data_param.source), _SOURCE, "must name a text file that lists HDF5 files")
        self.expect(
            not self.param.HasField("transform_param"),
            "HDF5Data does not transform data",
            "transform_param",
            "leave transform_param out, and write the files with the values the net is to see",
        )

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        with told_by(self, _SOURCE):
            rows = shapes_in(self._listed()[0], list(self.param.top))
        return [(int(self.param.hdf5_data_param.batch_size), *shape[1:]) for shape in rows]

    def _listed(self) -> list[Path]:
        """The files that `source` lists, as absolute paths."""
        if self._files is None:
            source, beside = str(self.param.hdf5_data_param.source), folder_of(self, _SOURCE)
            path = find(source, beside)
            try:
                content = path.read_bytes()
            except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
                message = f'the list "{source}" cannot be read: {getattr(error, "strerror", error)}'
                raise DataError(Fault(message, help=where_it_looked(source, beside))) from error
            names = _words(content)
            if names is None:
                help = "source names a text file with the path of one HDF5 file a line, not an HDF5 file itself"
                raise DataError(Fault(f'"{source}" is not a text file', help=help))
            if not names:
                raise DataError(f'the list "{source}" names no file')
            self._files = [find(name, beside, path.parent).resolve() for name in names]
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


def _words(content: bytes) -> list[str] | None:
    """The words of a text; None where the content is none."""
    try:
        return content.decode("utf-8-sig").split() if b"\0" not in content else None
    except UnicodeDecodeError:
        return None
