"""MemoryData: batches from arrays that a script hands over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.label_counts import LabelCounts
from ..errors import DataError, Fault, LayerError
from ..layerkit import Run, Shape, SourceLayer, exactly, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

_SIZES = ("batch_size", "channels", "height", "width")


@layer("MemoryData")
class MemoryData(SourceLayer):
    """Batch after batch of the arrays given to `set_arrays` (in Python `net.set_input_arrays(data, labels)`), beginning
    anew at their end.  The arrays are not copied when they are handed over: what is written to them later is seen by
    the next forward.

    Tops: images, N×C×H×W float32, and labels, N, which from the first forward on are N×1×1×1.  Nothing is transformed;
    a transform_param is warned of.

    Source: `src/caffe/layers/memory_data_layer.cpp`.

    Raises:
        LayerError: sizes that are not positive, or arrays that do not fit them.
        DataError: in `forward`, where no arrays were handed over.
    """

    example = """
    layer {
      name: "arrays" type: "MemoryData" top: "data" top: "label"
      memory_data_param { batch_size: 64 channels: 1 height: 28 width: 28 }
    }
    """

    tops = exactly(2)
    varies = True

    _data: NDArray[np.float32] | None = None
    _labels: NDArray[np.float32] | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        for name in _SIZES:
            size = getattr(self.param.memory_data_param, name)
            self.require(size > 0, f"memory_data_param.{name}", "must be positive")

    def warnings(self) -> list[Fault]:
        return self.without_effect(
            "transform_param", "arrays are taken as they are", "hand over what the net is to see"
        )

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        settings = self.param.memory_data_param
        batch, *image = (int(getattr(settings, name)) for name in _SIZES)
        return [(batch, *image), (batch,)]

    def label_counts(self, top: int) -> LabelCounts:
        raise self.cannot_count(top, "they are handed over only after the net is made")

    def set_arrays(self, data: Any, labels: Any) -> None:
        """Read from these arrays, from their beginning.

        Args:
            data: float32, C-contiguous, M×C×H×W, M being a multiple of batch_size.
            labels: float32, C-contiguous, M or M×1×1×1.

        Raises:
            LayerError: they are something else; every fault found.
        """
        image, label = self.shapes([])[0][1:], (1, 1, 1)
        faults = self._faults_of("data", data, image)
        faults += self._faults_of("labels", labels, () if np.ndim(labels) == 1 else label)
        if not faults:
            faults = self._faults_of_count(len(data), len(labels))
        if faults:
            raise LayerError(faults)
        self._data, self._labels, self.consumed = data, labels.reshape(-1, *label), 0

    def _faults_of(self, what: str, array: Any, rest: Shape) -> list[Fault]:
        if not isinstance(array, np.ndarray):
            return [self.fault(f"{what} must be a NumPy array, got {type(array).__name__}")]
        faults = []
        if array.dtype != np.float32:
            faults.append(self.fault(f"{what} must be float32, got {array.dtype}", help=f"{what}.astype(np.float32)"))
        if not array.flags.c_contiguous:
            faults.append(self.fault(f"{what} must be C-contiguous", help=f"np.ascontiguousarray({what})"))
        if array.shape[1:] != rest or not array.ndim:
            wanted = "×".join(map(str, ("M", *rest)))
            faults.append(self.fault(f"{what} must be of shape {wanted}, got {array.shape}"))
        return faults

    def _faults_of_count(self, data: int, labels: int) -> list[Fault]:
        batch = int(self.param.memory_data_param.batch_size)
        if data != labels:
            return [self.fault(f"data and labels must be equally many, got {data} and {labels}")]
        if not data or data % batch:
            place = "memory_data_param.batch_size"
            return [self.fault(f"the arrays' length must be a multiple of batch_size ({batch}), got {data}", place)]
        return []

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        if self._data is None or self._labels is None:
            help = "from Python: net.set_input_arrays(data, labels); the command line cannot, a Data layer can"
            raise DataError(self.fault("has no data yet", help=help))
        batch = int(self.param.memory_data_param.batch_size)
        start = self.consumed % len(self._data)
        self.consumed += batch
        # Copies: what a script writes into the net's blobs must not come back with the next round.
        return tuple(
            torch.tensor(array[start : start + batch], device=run.device) for array in (self._data, self._labels)
        )
