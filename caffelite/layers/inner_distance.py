"""InnerDistance: how far vectors are from learned ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import Fault
from ..layerkit.base import Layer, Shape, between, layer
from ..layerkit.weights import filled

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run


@layer("InnerDistance")
class InnerDistance(Layer):
    """y_n = Σ (x − w_n)² for each of num_output learned vectors w_n, or Σ |x − w_n| with `distance_type: "L1"`; x is
    everything from `axis` on.

    …×K axes → …×num_output.  Weight: num_output×K.  A second bottom, N×K, takes the place of the weight.  With
    `normalize` the weight's vectors are brought to length 1 before each forward, in the weight itself.  With
    `update_center_only` a third bottom brings a label for each x, and the gradient of a vector of the second counts
    only the x of its label.  There is no bias.

    With "L1" the fork's gradients are wrong where a difference is negative: −1 instead of −dy (its sign is a macro
    without brackets).  Here they are those of the formula.

    Source: `src/caffe/layers/inner_distance_layer.cpp` of happynear/caffe-windows.
    """

    fork: ClassVar[str] = "happynear/caffe-windows"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 50 } } }
    layer {
      name: "distances" type: "InnerDistance" bottom: "x" top: "y"  # 64×10
      inner_distance_param { num_output: 10 weight_filler { type: "gaussian" std: 0.1 } }
    }
    """

    bottoms = between(1, 3)
    ungraded = frozenset({2})
    collects = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, field = self.settings("inner_distance_param"), "inner_distance_param"
        self.inputs = math.prod(bottoms[0][self._first(bottoms[0]) :])
        self.power = {"L1": 1, "L2": 2}.get(settings.distance_type, 0)
        self.require(self.power > 0, f"{field}.distance_type", 'must be "L1" or "L2"')
        self.require(not settings.transpose, f"{field}.transpose", "must be false: the fork reads the weight as it was")
        labelled = "needs three bottoms with update_center_only: true (x, vectors, labels), and else one or two"
        self.expect((len(bottoms) == 3) == settings.update_center_only, f"{labelled}; got {len(bottoms)}", "bottom")
        self.unit = bool(settings.normalize) and len(bottoms) == 1
        if len(bottoms) == 1:
            self.require(settings.num_output > 0, f"{field}.num_output", "must be positive")
            self.raise_faults()
            self.weights = [filled(self, (settings.num_output, self.inputs), f"{field}.weight_filler")]

    def _first(self, shape: Shape) -> int:
        return self.axis(self.settings("inner_distance_param").axis, len(shape), "inner_distance_param.axis")

    def warnings(self) -> Sequence[Fault]:
        field, found = "inner_distance_param", []
        for name in ("bias_term", "bias_filler"):
            if self.settings(field).HasField(name):
                found += self.without_effect(f"{field}.{name}", "the layer has no bias")
        return found

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottoms[0]
        self.first = self._first(shape)
        inputs = math.prod(shape[self.first :])
        fits = f"the weights are for {self.inputs} values, {shape} from axis {self.first} on has {inputs}"
        self.expect(inputs == self.inputs, fits, "bottom")
        count = self.weights[0].shape[0] if self.weights else bottoms[1][0]
        if len(bottoms) > 1:
            vectors = bottoms[1]
            self.expect(
                math.prod(vectors[1:]) == inputs, f"needs vectors of {inputs} values, got {vectors}", "bottom[1]"
            )
        if len(bottoms) > 2:
            needed, got = math.prod(shape[: self.first]), math.prod(bottoms[2])
            self.expect(needed == got, f"needs a label for each of {needed} vectors, got {bottoms[2]}", "bottom[2]")
        return [(*shape[: self.first], count)]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        x = bottoms[0].reshape(-1, self.inputs)
        vectors = weights[0] if weights else bottoms[1].flatten(1)
        if self.unit:
            stored = vectors.detach()
            stored.mul_((stored.square().sum(1, keepdim=True) + 1e-6).rsqrt())
        own = ops.distances.belongs(bottoms[2], len(vectors)) if len(bottoms) > 2 else None
        y = ops.distances.to_vectors(x, vectors, self.power, own)
        return (y.reshape(*bottoms[0].shape[: self.first], len(vectors)),)

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * self.inputs
