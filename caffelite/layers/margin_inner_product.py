"""MarginInnerProduct: the fully connected layer of SphereFace, which asks for a margin between angles."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import layer
from ..layerkit.margins import Margin

if TYPE_CHECKING:
    from torch import Tensor


@layer("MarginInnerProduct")
class MarginInnerProduct(Margin):
    """y_n = w_n·x for each of num_output classes, every w_n brought to length 1 before, in the weight itself; for the
    sample's own class (|x|·psi(θ) + λ·w·x)/(1 + λ).

    θ is the angle between x and w, and psi(θ) = (−1)ᵏ·cos(mθ) − 2k for θ from kπ/m to (k + 1)π/m; m is 1 for `type:
    SINGLE` (where y is the plain product), 2 for DOUBLE, 3 for TRIPLE, 4 for QUADRUPLE.  λ = base·(1 + gamma·i)^−power,
    but at least lambda_min, in the i-th forward of this net since its training began, plus `iteration`.

    Bottoms: x, M×… (everything from axis 1 on is one vector), and M labels.  Tops: M×num_output, and optionally λ (1).
    Weight: num_output×K.  Gradients are the fork's: to the weight that of the plain product; the part of x's that comes
    from its own class is along psi's gradient, with a length of its own.

    Source: `tools/caffe-sphereface/src/caffe/layers/margin_inner_product_layer.cpp` of wy1iu/sphereface; Liu, Wen, Yu,
    Li, Raj and Song, 2017.
    """

    fork: ClassVar[str] = "wy1iu/sphereface"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "label"
      input_param { shape { dim: 8 dim: 16 } shape { dim: 8 } }
    }
    layer {
      name: "fc" type: "MarginInnerProduct" bottom: "x" bottom: "label" top: "y" top: "lambda"
      margin_inner_product_param { num_output: 10 type: QUADRUPLE weight_filler { type: "xavier" }
                                   base: 1000 gamma: 0.12 power: 1 lambda_min: 5 }
    }
    """

    field = "margin_inner_product_param"
    collects = True

    def prepare(self, weight: Tensor) -> None:
        weight.div_(weight.square().sum(1, keepdim=True).sqrt_())

    def apply(self, x: Tensor, weight: Tensor, indices: Tensor, mix: float) -> Tensor:
        y: Tensor = ops.distances.margin_product(x, weight, indices, self.times, mix)
        return y
