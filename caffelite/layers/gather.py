"""Gather: what the nets of all processes computed, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, at_least, layer

if TYPE_CHECKING:
    from torch import Tensor


@layer("Gather")
class Gather(Layer):
    """Each top is its bottom, with as many tops as bottoms.

    The fork, started by MPI on several machines, puts the bottoms of all of them behind each other along axis 0, so
    that the layers behind it are computed for all.  In one process, as here, nothing is put together.

    Source: `src/caffe/layers/gather_layer.cpp` of yjxiong/caffe.
    """

    fork: ClassVar[str] = "yjxiong/caffe"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 8 } } }
    layer { name: "gather" type: "Gather" bottom: "x" top: "y" }
    """

    bottoms, tops = at_least(1), at_least(1)
    same_count = True

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        return list(bottoms)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return list(bottoms)
