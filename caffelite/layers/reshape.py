"""Reshape: the same values in another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.neuron import refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor

COPY, INFER = 0, -1
"""What a dim that is no size asks for: the size of the bottom there, or whatever is left."""


@layer("Reshape")
class Reshape(Layer):
    """`num_axes` axes from `axis` on are replaced by `shape`; the values keep their order.

    In `shape`, 0 copies the bottom's size at the same place, and -1, at most once, stands for what is left.  A negative
    `axis` counts the places between axes from the end: -1 appends.  `num_axes: -1` replaces everything from `axis` on,
    0 inserts.  Cannot work in place.

    Source: `src/caffe/layers/reshape_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 3 dim: 8 dim: 8 } } }
    layer {
      name: "reshape" type: "Reshape" bottom: "x" top: "y"  # 64×3×64
      reshape_param { shape { dim: 0 dim: 0 dim: -1 } }
    }
    """

    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        refuse_in_place(self)
        self.new = tuple(self.settings("reshape_param").shape.dim)
        self.expect(
            min(self.new, default=0) >= INFER,
            f"dim must be a size, 0 (copy) or -1 (infer), got {list(self.new)}",
            "reshape_param.shape",
        )
        self.expect(
            self.new.count(INFER) <= 1,
            f"at most one dim may be -1 (infer), got {list(self.new)}",
            "reshape_param.shape",
        )

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        bottom = bottoms[0]
        first, end = self._replaced(bottom)
        new = [self._copied(bottom, first + at) if dim == COPY else dim for at, dim in enumerate(self.new)]
        self.raise_faults()
        shape = (*bottom[:first], *new, *bottom[end:])
        if INFER in new:
            at = first + new.index(INFER)
            shape = (*shape[:at], self._inferred(bottom, shape[:at] + shape[at + 1 :]), *shape[at + 1 :])
        self.expect(
            math.prod(shape) == math.prod(bottom),
            f"{bottom} has {math.prod(bottom)} values, {shape} would have {math.prod(shape)}",
            "reshape_param.shape",
            help=None if INFER in self.new else "dim: -1 stands for whatever is left",
        )
        self.top = shape
        return [shape]

    def _replaced(self, bottom: Shape) -> tuple[int, int]:
        """The first axis that is replaced, and the first behind it that is not."""
        settings, axes = self.settings("reshape_param"), len(bottom)
        first = settings.axis + (axes + 1 if settings.axis < 0 else 0)
        rule = f"must be from {-axes - 1} to {axes} for a {axes}-d blob"
        self.require(0 <= first <= axes, "reshape_param.axis", rule)
        self.raise_faults()
        rule = f"must be at most {axes - first} from axis {first} of {bottom} on, or -1 for all"
        self.require(-1 <= settings.num_axes <= axes - first, "reshape_param.num_axes", rule)
        self.raise_faults()
        return first, axes if settings.num_axes < 0 else first + settings.num_axes

    def _copied(self, bottom: Shape, axis: int) -> int:
        there = f"dim: 0 copies axis {axis} of its bottom, whose shape {bottom} has no such axis"
        return bottom[axis] if self.expect(axis < len(bottom), there, "reshape_param.shape") else 1

    def _inferred(self, bottom: Shape, others: Shape) -> int:
        count, known = math.prod(bottom), math.prod(others)
        self.expect(
            known > 0 and count % known == 0,
            f"dim: -1 cannot be worked out: {count} values are not a multiple of {known}, the product of the others"
            if known
            else f"dim: -1 cannot be worked out: another dim is 0, in {bottom} already",
            "reshape_param.shape",
        )
        self.raise_faults()
        return count // known

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].reshape(self.top),)
