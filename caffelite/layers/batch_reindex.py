"""BatchReindex: samples of a batch in another order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.indices import rows_at

if TYPE_CHECKING:
    from torch import Tensor


@layer("BatchReindex")
class BatchReindex(Layer):
    """y_m = x[i_m]: N×…, and M indices from 0 to N − 1 → M×….  Samples may be left out, or stand several times.

    A fraction of an index is cut off.  The gradient of a sample that stands several times is the sum; the indices get
    none.

    Source: `src/caffe/layers/batch_reindex_layer.cpp`.

    Raises:
        LayerError: in `forward`, for an index that is none (on a GPU its row becomes NaN).
    """

    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "index"
      input_param { shape { dim: 8 dim: 5 } shape { dim: 12 } }
    }
    layer { name: "picked" type: "BatchReindex" bottom: "x" bottom: "index" top: "y" }  # 12×5
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = frozenset({1})

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, indices = bottoms
        self.expect(len(shape) > 0, "needs a bottom with at least 1 axis, got a scalar", "bottom[0]")
        self.expect(len(indices) == 1, f"its second bottom must have 1 axis, got shape {indices}", "bottom[1]")
        self.raise_faults()
        none = f"has no samples to choose {indices[0]} from: its bottom's shape is {shape}"
        self.expect(shape[0] > 0 or not prod(indices), none, "bottom[0]")
        return [(*indices, *shape[1:])]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (rows_at(self, bottoms[0], bottoms[1], position=1),)
