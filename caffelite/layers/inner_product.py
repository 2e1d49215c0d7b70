"""InnerProduct: the fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit.base import Layer, Shape, layer, torch
from ..layerkit.kernels.products import InnerProductKernel
from ..layerkit.weights import filled

if TYPE_CHECKING:
    from ..layerkit import Run
    from ..layerkit.kernels import Kernel


@layer("InnerProduct")
class InnerProduct(Layer):
    """y = W·x + b, x being everything from `axis` on, flattened in the blob's own order.

    …×K axes → …×num_output, … being the axes before `axis`.  Weights: num_output×K (`transpose`: K×num_output), and
    num_output for the bias.

    Source: `src/caffe/layers/inner_product_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 50 dim: 4 dim: 4 } } }
    layer {
      name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1"  # 64×500
      param { lr_mult: 1 }  # W
      param { lr_mult: 2 }  # b
      inner_product_param { num_output: 500 weight_filler { type: "xavier" } }
    }
    """

    rounding = "rounds"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("inner_product_param")
        self.outputs, self.transpose = settings.num_output, settings.transpose
        self.inputs = math.prod(bottoms[0][self._first(bottoms[0]) :])
        self.require(self.outputs > 0, "inner_product_param.num_output", "must be positive")
        self.raise_faults()
        shape = (self.inputs, self.outputs) if self.transpose else (self.outputs, self.inputs)
        self.weights = [filled(self, shape, "inner_product_param.weight_filler")]
        if settings.bias_term:
            self.weights.append(filled(self, (self.outputs,), "inner_product_param.bias_filler"))

    def _first(self, shape: Shape) -> int:
        """The first axis that belongs to the sum."""
        return self.axis(self.settings("inner_product_param").axis, len(shape), "inner_product_param.axis")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottoms[0]
        self.first = self._first(shape)
        inputs = math.prod(shape[self.first :])
        self.expect(
            inputs == self.inputs,
            f"the weights are for {self.inputs} inputs, {shape} from axis {self.first} on has {inputs}",
        )
        return [(*shape[: self.first], self.outputs)]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        weight, bias = weights[0], weights[1] if len(weights) > 1 else None
        x = bottoms[0].flatten(self.first)
        return (torch.nn.functional.linear(x, weight.t() if self.transpose else weight, bias),)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        count, on_cpu = self.outputs * self.inputs, run.device.type == "cpu"
        return InnerProductKernel(wants, learns, self.first, self.transpose, count, on_cpu=on_cpu)

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * self.inputs
