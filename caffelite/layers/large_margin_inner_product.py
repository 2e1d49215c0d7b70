"""LargeMarginInnerProduct: the fully connected layer of L-Softmax, which asks for a margin between angles."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import layer
from ..layerkit.margins import Margin

if TYPE_CHECKING:
    from torch import Tensor


@layer("LargeMarginInnerProduct")
class LargeMarginInnerProduct(Margin):
    """y_n = w_n·x for each of num_output classes; for the sample's own class (|x|·|w|·psi(θ) + λ·w·x)/(1 + λ).

    θ is the angle between x and w, and psi(θ) = (−1)ᵏ·cos(mθ) − 2k for θ from kπ/m to (k + 1)π/m; m is 1 for `type:
    SINGLE` (where y is the plain product), 2 for DOUBLE, 3 for TRIPLE, 4 for QUADRUPLE.  λ = base·(1 + gamma·i)^−power,
    but at least lambda_min, in the i-th forward of this net since its training began, plus `iteration`.

    Bottoms: x, M×… (everything from axis 1 on is one vector), and M labels.  Tops: M×num_output, and optionally λ (1).
    Weight: num_output×K.  Settings are in `largemargin_inner_product_param`.

    Source: `src/caffe/layers/largemargin_inner_product_layer.cpp` of wy1iu/LargeMargin_Softmax_Loss, as
    happynear/caffe-windows has it; Liu, Wen, Yu and Yang, 2016.
    """

    fork: ClassVar[str] = "wy1iu/LargeMargin_Softmax_Loss"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "label"
      input_param { shape { dim: 8 dim: 16 } shape { dim: 8 } }
    }
    layer {
      name: "fc" type: "LargeMarginInnerProduct" bottom: "x" bottom: "label" top: "y" top: "lambda"
      largemargin_inner_product_param { num_output: 10 type: DOUBLE weight_filler { type: "msra" }
                                        base: 1000 gamma: 0.00002 power: 45 lambda_min: 0 }
    }
    """

    field = "largemargin_inner_product_param"

    def apply(self, x: Tensor, weight: Tensor, indices: Tensor, mix: float) -> Tensor:
        y: Tensor = ops.distances.large_margin_product(x, weight, indices, self.times, mix)
        return y
