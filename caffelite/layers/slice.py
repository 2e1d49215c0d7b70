"""Slice: one blob cut into several along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, at_least, exactly, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor


@layer("Slice")
class Slice(Layer):
    """Cuts its bottom along `axis` (1 unless set; may be negative): into equal parts, or at every `slice_point`.

    N×C×H×W → N×p×H×W, N×(q − p)×H×W, N×(C − q)×H×W for axis 1 and slice_points p and q: one fewer than tops.
    `slice_dim` is the older name of `axis`, without negative values.  With a single top the bottom is passed on.

    Source: `src/caffe/layers/slice_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "slice" type: "Slice" bottom: "x" top: "a" top: "b"  # 2×3×12×12 and 2×5×12×12
      slice_param { axis: 1 slice_point: 3 }
    }
    """

    bottoms, tops = exactly(1), at_least(1)
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("slice_param")
        self.expect(
            not (settings.HasField("axis") and settings.HasField("slice_dim")),
            f"axis: {settings.axis} and slice_dim: {settings.slice_dim} are two names of one setting",
            "slice_param.slice_dim",
            help="keep axis",
        )

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        settings, shape = self.settings("slice_param"), bottoms[0]
        field = "slice_dim" if settings.HasField("slice_dim") else "axis"
        self.index = self.axis(getattr(settings, field), len(shape), f"slice_param.{field}")
        size, points = shape[self.index], list(settings.slice_point)
        self.sizes = self._cut(size, points) if points else self._share(size)
        self.raise_faults()
        return [(*shape[: self.index], part, *shape[self.index + 1 :]) for part in self.sizes]

    def _cut(self, size: int, points: list[int]) -> list[int]:
        tops, field = len(self.param.top), "slice_param.slice_point"
        self.expect(
            len(points) == tops - 1,
            f"needs one slice_point fewer than it has tops: {tops - 1}, got {len(points)}",
            field,
        )
        sizes = [end - start for start, end in pairwise([0, *points, size])]
        rule = f"must rise, and lie inside axis {self.index} of size {size}"
        self.require(min(sizes) > 0, field, rule)
        return sizes

    def _share(self, size: int) -> list[int]:
        tops = len(self.param.top)
        self.expect(
            size % tops == 0,
            f"cannot cut axis {self.index} of size {size} into {tops} equal parts",
            "slice_param",
            help="say where to cut: slice_point, once fewer than there are tops",
        )
        return [size // tops] * tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return torch.split(bottoms[0], self.sizes, self.index) if len(self.sizes) > 1 else (bottoms[0],)
