"""FlowWarp: an image whose pixels are fetched from where a flow points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Layer, Run, Shape, exactly, layer
from ..proto import FlowWarpParameter

if TYPE_CHECKING:
    from torch import Tensor


@layer("FlowWarp")
class FlowWarp(Layer):
    """y(h, w) = x(h + v, w + u), between pixels by bilinear interpolation: N×C×H×W → the same.

    Bottoms: images, N×C×H×W, and the flow, N×2×H×W, u (to the right) and v (down) in pixels.  What lies outside of the
    image, [0, W) × [0, H), is `fill_value`: 0, or NaN.  Between the last pixel and the edge the last pixel counts.
    Images and flow get a gradient; nothing comes from outside.

    Source: `src/caffe/layers/flow_warp_layer.cu` of lmb-freiburg/flownet2; Ilg et al., 2017.
    """

    fork: ClassVar[str] = "lmb-freiburg/flownet2"
    example = """
    layer {
      name: "in" type: "Input" top: "image" top: "flow"
      input_param { shape { dim: 2 dim: 3 dim: 32 dim: 48 } shape { dim: 2 dim: 2 dim: 32 dim: 48 } }
    }
    layer { name: "warp" type: "FlowWarp" bottom: "image" bottom: "flow" top: "warped" }  # 2×3×32×48
    """

    bottoms, tops = exactly(2), exactly(1)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image, flow = bottoms
        self.expect(len(image) == 4, f"needs images of N×C×H×W, got {image}", "bottom[0]")
        self.raise_faults()
        wanted = (image[0], 2, *image[2:])
        self.expect(flow == wanted, f"needs a flow of shape {wanted} for images of {image}, got {flow}", "bottom[1]")
        return [image]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        nan = self.settings("flow_warp_param").fill_value == FlowWarpParameter.NOT_A_NUMBER
        return (ops.warping.by_flow(bottoms[0], bottoms[1], float("nan") if nan else 0.0),)
