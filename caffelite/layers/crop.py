"""Crop: cut a blob to the size of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor


@layer("Crop")
class Crop(Layer):
    """Cuts the first bottom to the sizes of the second, on all axes from `axis` on (2 unless set; may be negative).

    N×C×H×W, and …×H′×W′ → N×C×H′×W′: y[n, c, i, j] = x[n, c, i + offset, j + offset].  `offset` says where the
    cut begins: 0 unless set, once for all these axes or once for each.  Of the second bottom only the shape matters; it
    gets no gradient.

    Source: `src/caffe/layers/crop_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "data"
      input_param { shape { dim: 1 dim: 5 dim: 40 dim: 40 } shape { dim: 1 dim: 3 dim: 32 dim: 32 } }
    }
    layer {
      name: "crop" type: "Crop" bottom: "score" bottom: "data" top: "y"  # 1×5×32×32, from the middle
      crop_param { axis: 2 offset: 4 }
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = passed_over = frozenset({1})

    def _first(self, axes: int) -> int:
        return self.axis(self.settings("crop_param").axis, axes, "crop_param.axis")

    def setup(self, bottoms: Sequence[Shape]) -> None:
        axes, given = len(bottoms[0]), len(self.settings("crop_param").offset)
        cut = axes - self._first(axes)
        self.expect(
            given in (0, 1, cut),
            f"needs one offset for all of the {cut} axes it cuts or one for each, got {given}",
            "crop_param.offset",
        )

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        (shape, sizes), offsets = bottoms, list(self.settings("crop_param").offset) or [0]
        first = self._first(len(shape))
        self.expect(
            len(sizes) >= len(shape),
            f"its second bottom must have at least as many axes as the first, got shapes {shape} and {sizes}",
            "bottom[1]",
        )
        self.raise_faults()
        axes = range(first, len(shape))
        offsets = offsets if len(offsets) > 1 else offsets * len(axes)
        self.margins: list[int] = []
        for axis, offset in zip(axes, offsets, strict=True):
            end = offset + sizes[axis]
            self.expect(
                end <= shape[axis],
                f"the cut of axis {axis} from {offset} to {end} exceeds its size {shape[axis]}",
                "crop_param.offset" if offset else "bottom[1]",
            )
            self.margins = [-offset, end - shape[axis], *self.margins]
        return [(*shape[:first], *sizes[first : len(shape)])]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (torch.nn.functional.pad(bottoms[0], self.margins),)
