"""HDF5Output: two blobs written to a file, batch after batch."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..data.hdf5_writer import Hdf5Writer
from ..data.telling import told_by
from ..layerkit import Layer, Run, Shape, exactly, layer

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_FILE = "hdf5_output_param.file_name"


@layer("HDF5Output")
class HDF5Output(Layer):
    """Writes its bottoms to the HDF5 file `file_name`, as the data sets "data" and "label": float32, N×C×H×W, bottoms
    with fewer axes with ones behind them.

    Every forward adds its N rows (the original aborts in the second).  The file has its name once the net is closed;
    until then, and after a run that was killed, it is called "<file_name>.unfinished".  What had the name before is
    replaced.

    Source: `src/caffe/layers/hdf5_output_layer.cpp`.

    Raises:
        LayerError: no file is named, its folder does not exist, or the bottoms differ in N.
        DataError: in `forward`, where the file cannot be written.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "features" top: "label"
      input_param { shape { dim: 64 dim: 500 } shape { dim: 64 } }
    }
    layer {
      name: "write" type: "HDF5Output" bottom: "features" bottom: "label"
      hdf5_output_param { file_name: "features.h5" }
    }
    """

    bottoms, tops = exactly(2), exactly(0)
    ungraded = frozenset({0, 1})
    opened = frozenset({"_writer"})

    _writer: Hdf5Writer | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        name = str(self.settings("hdf5_output_param").file_name)
        if self.require(bool(name) and "\0" not in name, _FILE, "must name the file to write"):
            folder = os.path.dirname(os.path.abspath(name))
            there = "must lie in a folder that exists"
            self.require(os.path.isdir(folder), _FILE, there, help=f"create {folder} first")
            self.require(not os.path.isdir(name), _FILE, "must name a file, not a folder")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        for position, shape in enumerate(bottoms):
            text = f"needs bottoms with at most 4 axes, got {shape}"
            self.expect(len(shape) <= 4, text, f"bottom[{position}]")
        self.raise_faults()
        self.four_axes = [(*shape, *[1] * (4 - len(shape))) for shape in bottoms]
        rows = [shape[0] for shape in self.four_axes]
        self.expect(
            rows[0] == rows[1],
            f"the first axis (the batch) of its bottoms must be the same, got shapes {bottoms[0]} and {bottoms[1]}",
            "bottom",
        )
        return []

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        if run.repeating:
            return ()
        if self._writer is None:
            self._writer = Hdf5Writer(str(self.settings("hdf5_output_param").file_name))
            weakref.finalize(self, self._writer.close)
        data, label = (self._array(*given) for given in zip(bottoms, self.four_axes, strict=True))
        with told_by(self, _FILE):
            self._writer.append({"data": data, "label": label})
        return ()

    @staticmethod
    def _array(bottom: Tensor, shape: Shape) -> np.ndarray:
        array: np.ndarray = bottom.detach().reshape(shape).cpu().numpy()
        return array

    def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with told_by(self, _FILE):
                writer.close()
