"""Embed: a learned vector for every integer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.indices import rows_at
from ..layerkit.weights import filled

if TYPE_CHECKING:
    from torch import Tensor


@layer("Embed")
class Embed(Layer):
    """y = W[i] + b for every index i of its bottom: … → …×num_output.

    Indices run from 0 to input_dim − 1; a fraction is cut off.  Weights: input_dim×num_output, and num_output for the
    bias, which `bias_term: false` leaves out.  The indices get no gradient.

    Source: `src/caffe/layers/embed_layer.cpp`.

    Raises:
        LayerError: in `forward`, for an index that is none (on a GPU its vector becomes NaN).
    """

    example = """
    layer { name: "words" type: "Input" top: "words" input_param { shape { dim: 20 dim: 4 } } }
    layer {
      name: "embed" type: "Embed" bottom: "words" top: "y"  # 20×4×50
      embed_param { input_dim: 1000 num_output: 50 weight_filler { type: "uniform" min: -0.08 max: 0.08 } }
    }
    """

    ungraded = frozenset({0})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("embed_param")
        self.outputs = settings.num_output
        for field in ("num_output", "input_dim"):
            self.require(getattr(settings, field) > 0, f"embed_param.{field}", "must be positive")
        self.raise_faults()
        self.weights = [filled(self, (settings.input_dim, self.outputs), "embed_param.weight_filler")]
        if settings.bias_term:
            self.weights.append(filled(self, (self.outputs,), "embed_param.bias_filler"))

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        return [(*bottoms[0], self.outputs)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        vectors = rows_at(self, weights[0], bottoms[0].trunc(), position=0)
        if len(weights) > 1:
            vectors = vectors + weights[1]
        return (vectors.reshape(*bottoms[0].shape, self.outputs),)
