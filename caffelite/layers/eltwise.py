"""Eltwise: sum, product or maximum of blobs of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Layer, Run, Shape, at_least, exactly, layer
from ..layerkit.base import torch
from ..layerkit.kernels.joined import SumKernel
from ..proto import EltwiseParameter

if TYPE_CHECKING:
    from torch import Tensor

    from ..layerkit.kernels import Kernel


def _sum(bottoms: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    first, second, *rest = bottoms
    head = first if coefficients[0] == 1 else first * coefficients[0]
    total = torch.add(head, second, alpha=coefficients[1])
    for bottom, coefficient in zip(rest, coefficients[2:], strict=True):
        total = torch.add(total, bottom, alpha=coefficient)
    return total


def _product(bottoms: Sequence[Tensor]) -> Tensor:
    product = bottoms[0]
    for bottom in bottoms[1:]:
        product = product * bottom
    return product


def _maximum(bottoms: Sequence[Tensor]) -> Tensor:
    first, second, *rest = bottoms
    highest = torch.where(first > second, first, second)
    for bottom in rest:
        highest = torch.where(bottom > highest, bottom, highest)
    return highest


@layer("Eltwise")
class Eltwise(Layer):
    """SUM: Σ coeffᵢ·xᵢ (coeff 1 unless set); PROD: Π xᵢ; MAX: the largest, element by element.

    All bottoms have one shape, and the top has it.  The gradient of MAX goes to one bottom: where the first two tie,
    to the second; otherwise to the earlier.  With `stable_prod_grad: false` the gradients of PROD are y/xᵢ, which is
    NaN where a factor is 0.

    Source: `src/caffe/layers/eltwise_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "a" top: "b"
      input_param { shape { dim: 4 dim: 8 dim: 12 dim: 12 } }
    }
    layer {
      name: "difference" type: "Eltwise" bottom: "a" bottom: "b" top: "y"
      eltwise_param { operation: SUM coeff: 1 coeff: -1 }
    }
    """

    bottoms, tops = at_least(2), exactly(1)
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("eltwise_param")
        self.operation, self.stable = settings.operation, bool(settings.stable_prod_grad)
        given = len(settings.coeff)
        self.expect(
            given in (0, len(bottoms)),
            f"needs a coeff for each of its {len(bottoms)} bottoms, or none at all, got {given}",
            "eltwise_param.coeff",
        )
        self.expect(
            not given or self.operation != EltwiseParameter.PROD,
            "operation PROD takes no coeff",
            "eltwise_param.coeff",
            help="coeff belongs to operation: SUM",
        )
        self.coefficients = [float(value) for value in settings.coeff] or [1.0] * len(bottoms)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        for position, shape in enumerate(bottoms):
            self.expect(
                shape == bottoms[0],
                f"its bottoms must have one shape, got {bottoms[0]} and {shape}",
                f"bottom[{position}]",
            )
        return [bottoms[0]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        if self.operation == EltwiseParameter.SUM:
            return (_sum(bottoms, self.coefficients),)
        if self.operation == EltwiseParameter.MAX:
            return (_maximum(bottoms),)
        return (_product(bottoms) if self.stable else ops.elementwise.product_by_division(bottoms),)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        plain = self.operation == EltwiseParameter.SUM and all(value == 1 for value in self.coefficients)
        return SumKernel(wants, learns) if plain else None
