"""ArgMax: where the largest values are."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor


@layer("ArgMax")
class ArgMax(Layer):
    """Indices of the `top_k` largest values, as floats; among equal values the larger index comes first.

    With `axis`: along that axis, whose size becomes top_k; `out_max_val` gives the values instead of the indices.
    Without: over everything behind axis 0, top N × 1 × top_k (with as many axes as the bottom, at least 3);
    `out_max_val` gives N × 2 × top_k, indices first, then values.  No gradient, not of the values either.

    Source: `src/caffe/layers/argmax_layer.cpp`.
    """

    example = """
    layer { name: "prob" type: "Input" top: "prob" input_param { shape { dim: 64 dim: 10 } } }
    layer {
      name: "best" type: "ArgMax" bottom: "prob" top: "best"  # 64×3: the three best classes
      argmax_param { axis: 1 top_k: 3 }
    }
    """

    ungraded = frozenset({0})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("argmax_param")
        self.values, self.count = bool(settings.out_max_val), int(settings.top_k)
        self.require(self.count >= 1, "argmax_param.top_k", "must be at least 1")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        settings, shape = self.settings("argmax_param"), bottoms[0]
        if not self.expect(len(shape) > 0, "needs a bottom with at least 1 axis, got a scalar", "bottom"):
            self.raise_faults()
        self.along = self.axis(settings.axis, len(shape), "argmax_param.axis") if settings.HasField("axis") else None
        size = shape[self.along] if self.along is not None else prod(shape[1:])
        self.require(self.count <= size, "argmax_param.top_k", f"must not be over {size}, the number of values")
        if self.along is not None:
            return [(*shape[: self.along], self.count, *shape[self.along + 1 :])]
        self.flat = (shape[0], size)
        return [(shape[0], 2 if self.values else 1, self.count, *[1] * (len(shape) - 3))]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores = bottoms[0].detach()
        scores = scores if self.along is not None else scores.reshape(self.flat)
        axis = self.along if self.along is not None else 1
        # A stable sort of the reversed axis puts the larger index first among equals.
        values, order = torch.sort(scores.flip(axis), dim=axis, descending=True, stable=True)
        values = values.narrow(axis, 0, self.count)
        indices = (scores.shape[axis] - 1 - order.narrow(axis, 0, self.count)).to(scores.dtype)
        if self.along is not None:
            return (values if self.values else indices,)
        rows = torch.stack([indices, values], 1) if self.values else indices.unsqueeze(1)
        return (rows.reshape(*rows.shape, *[1] * (bottoms[0].dim() - 3)),)
