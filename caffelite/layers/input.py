"""Input: a blob somebody else fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, at_least, exactly, layer
from ..layerkit.declared import declared_shapes

if TYPE_CHECKING:
    from torch import Tensor


@layer("Input")
class Input(Layer):
    """Declares blobs to be filled from outside: one `shape` for each top, or one for all.

    The net keeps the memory of these blobs and never calls `forward`.  Without a shape a top is 0-d until it is
    reshaped.

    Source: `src/caffe/layers/input_layer.cpp`.
    """

    example = """
    layer {
      name: "data" type: "Input" top: "data"
      input_param { shape { dim: 64 dim: 1 dim: 28 dim: 28 } }
    }
    """

    bottoms, tops = exactly(0), at_least(1)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given, tops = len(self.settings("input_param").shape), len(self.param.top)
        self.expect(
            given in (0, 1, tops),
            f"needs one shape for all of its {tops} tops or one for each, got {given}",
            "input_param.shape",
        )

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        given = declared_shapes(self, "input_param") or [()]
        return given if len(given) > 1 else given * len(self.param.top)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return ()
