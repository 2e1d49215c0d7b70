"""Concat: blobs one behind the other along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, at_least, exactly, layer
from ..layerkit.base import torch
from ..layerkit.kernels.joined import ConcatKernel

if TYPE_CHECKING:
    from torch import Tensor

    from ..layerkit.kernels import Kernel


@layer("Concat")
class Concat(Layer):
    """Joins its bottoms along `axis` (1 unless set; may be negative); all other axes must agree.

    N×A×H×W, N×B×H×W … → N×(A + B + …)×H×W for axis 1.  `concat_dim` is the older name of `axis`, without
    negative values.  A single bottom is passed on.

    Source: `src/caffe/layers/concat_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "a" top: "b"
      input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } shape { dim: 2 dim: 5 dim: 8 dim: 8 } }
    }
    layer { name: "joined" type: "Concat" bottom: "a" bottom: "b" top: "y" }  # 2×8×8×8
    """

    bottoms, tops = at_least(1), exactly(1)
    rounding = "rounds"
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("concat_param")
        self.expect(
            not (settings.HasField("axis") and settings.HasField("concat_dim")),
            f"axis: {settings.axis} and concat_dim: {settings.concat_dim} are two names of one setting",
            "concat_param.concat_dim",
            help="keep axis",
        )

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        settings, first = self.settings("concat_param"), bottoms[0]
        field = "concat_dim" if settings.HasField("concat_dim") else "axis"
        self.index = self.axis(getattr(settings, field), len(first), f"concat_param.{field}")

        def others(shape: Shape) -> Shape:
            return shape[: self.index] + shape[self.index + 1 :]

        for position, shape in enumerate(bottoms):
            self.expect(
                len(shape) == len(first) and others(shape) == others(first),
                f"its bottoms may differ in size on axis {self.index} only, got shapes {first} and {shape}",
                f"bottom[{position}]",
            )
        self.raise_faults()
        return [(*first[: self.index], sum(shape[self.index] for shape in bottoms), *first[self.index + 1 :])]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (torch.cat(list(bottoms), self.index) if len(bottoms) > 1 else bottoms[0],)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        return ConcatKernel(wants, learns, self.index) if len(wants) > 1 else None
