"""Normalize of happynear's fork: vectors of channels brought to length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..errors import Fault
from ..layerkit import Layer, Run, Shape, between, layer

if TYPE_CHECKING:
    from torch import Tensor

_EPS = 1e-6


@layer("Normalize", dialect="happynear")
class NormalizeHappynear(Layer):
    """y = x/n at each position, where n = √(Σx² + 10⁻⁶), or Σ|x| + 10⁻⁶ with `normalize_type: "L1"`, is summed over the
    channels, axis 1: N×C×H×W → the same; with fewer axes, N×C×1×1.  A second top is n, N×1×H×W, which passes a gradient
    on only with `bp_norm`.  (On a GPU the fork adds 10⁻¹² with L2, instead of the 10⁻⁶ of its CPU code.)

    Source: `src/caffe/layers/normalize_layer.cpp` of happynear/caffe-windows.
    """

    fork: ClassVar[str] = "happynear/caffe-windows"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 128 dim: 1 dim: 1 } } }
    layer {
      name: "norm" type: "Normalize" bottom: "x" top: "y" top: "length"
      normalize_param { normalize_type: "L2" bp_norm: true }
    }
    """

    tops = between(1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        kind = self.settings("normalize_param").normalize_type
        self.require(kind in ("L2", "L1"), "normalize_param.normalize_type", 'must be "L2" or "L1"')

    def warnings(self) -> list[Fault]:
        found = self.without_effect("normalize_param.fix_gradient", "the source reads it and does nothing with it")
        if len(self.param.top) == 1:
            found += self.without_effect("normalize_param.bp_norm", "there is no second top for the norm")
        return found

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottoms[0]
        self.expect(2 <= len(shape) <= 4, f"needs a bottom of 2 to 4 axes (channels are axis 1), got {shape}", "bottom")
        self.full = (*shape, *[1] * (4 - len(shape)))
        return [self.full, (self.full[0], 1, *self.full[2:])][: len(self.param.top)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, settings = bottoms[0].reshape(self.full), self.settings("normalize_param")
        if settings.normalize_type == "L2":
            norm = (x.square().sum(1, keepdim=True) + _EPS).sqrt()
        else:
            norm = x.abs().sum(1, keepdim=True) + _EPS
        return (x / norm, norm if settings.bp_norm else norm.detach())[: len(self.param.top)]
