"""ChannelScale: every position of an image multiplied by a number of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Layer, Run, Shape, WeightSpec, between, exactly, layer
from ..proto import TRAIN

if TYPE_CHECKING:
    from torch import Tensor


@layer("ChannelScale")
class ChannelScale(Layer):
    """y = a·x, a being one number for each sample and position: x N×C×H×W and a N×1×H×W → N×C×H×W.  With it behind a
    Normalize that tells its norms, the norms come back.

    With `do_forward: false`, y = x.  With `global_scale: true`, y = s·x: s is the layer's weight (1), which in TRAIN
    becomes 0.99·s + 0.01·mean |a|, at first mean |a|, kept from min_global_scale to max_global_scale; a second top
    tells s.  Whatever y is, the gradient of x is a times that of y (with `do_backward_feature: false`, that of y), and
    the gradient of a is Σ x·dy over the channels (with `do_backward_scale: false`, 0).  (The fork's CPU code only keeps
    s within its bounds; that it collects is of the GPU code.)

    Sources: `src/caffe/layers/channel_scale_layer.cpp`, `channel_scale_layer.cu` of happynear/caffe-windows.
    """

    fork: ClassVar[str] = "happynear/caffe-windows"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "a"
      input_param { shape { dim: 2 dim: 8 dim: 5 dim: 4 } shape { dim: 2 dim: 1 dim: 5 dim: 4 } }
    }
    layer { name: "scale" type: "ChannelScale" bottom: "x" bottom: "a" top: "y" }  # 2×8×5×4
    """

    bottoms, tops = exactly(2), between(1, 2)
    collects = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("channel_scale_param")
        self.scaling = (settings.do_forward, settings.do_backward_feature, settings.do_backward_scale)
        self.whole = settings.global_scale
        tops = len(self.param.top)
        self.expect(tops == 1 or self.whole, f"takes 1 top without global_scale: true, got {tops}", "top")
        if self.whole:
            self.weights = [WeightSpec((1,), lambda _: [-1.0], "scale", learned=False)]
            self._keep_from_learning()

    def _keep_from_learning(self) -> None:
        specs = self.param.param
        for slot in range(len(specs)):
            told = f"lr_mult must be 0: its weight is collected, and is not learned; got {specs[slot].lr_mult:g}"
            self.expect(specs[slot].lr_mult == 0, told, f"param[{slot}]", help="leave param out")
        if not specs:
            specs.add(lr_mult=0, decay_mult=0)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, a = bottoms
        fits = 2 <= len(x) <= 4 and a[:1] == x[:1] and math.prod(a) == x[0] * math.prod(x[2:])
        self.expect(fits, f"needs a number for each sample and position of {x}, got {a}", "bottom[1]")
        return [x, (1,)][: len(self.param.top)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor | None]:
        x, a = bottoms[0], bottoms[1].reshape(len(bottoms[0]), 1, *bottoms[0].shape[2:])
        forward, to_x, to_a = self.scaling
        factor = None
        if self.whole:
            (factor,) = (weight.detach() for weight in weights)
            if self.phase == TRAIN and forward:
                self._collect(factor, a.detach())
        y = ops.elementwise.scaled_by(x, a, factor, (forward, to_x, to_a))
        return (y, None if factor is None else factor.clone())[: len(self.param.top)]

    def _collect(self, scale: Tensor, a: Tensor) -> None:
        settings, mean = self.settings("channel_scale_param"), a.abs().mean()
        scale.copy_((scale * 0.99 + mean * 0.01).where(scale >= 0, mean))
        scale.clamp_(max=settings.max_global_scale).clamp_(min=settings.min_global_scale)
