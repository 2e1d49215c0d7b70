"""Upsample as SegNet means it: max-unpooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.pooling import image_of
from ..layerkit.unpooling import placed

if TYPE_CHECKING:
    from torch import Tensor


@layer("Upsample", dialect="SegNet")
class Upsample(Layer):
    """Puts every value where the second bottom says, h·W′ + w, as the second top of a Pooling holds it; 0 elsewhere.

    N×C×H×W, and the same → N×C×H′×W′: `upsample_h` and `upsample_w`, or else scale·H, `scale` (or `scale_h`, `scale_w`)
    being 2 by default, minus 1 with `pad_out_h` (`pad_out_w`).  Of several values for one place
    one is there.  dx = dy at that place.  The second bottom gets no gradient.

    Source: `src/caffe/layers/upsample_layer.cpp` of alexgkendall/caffe-segnet; Badrinarayanan et al., "SegNet", 2015.
    """

    fork: ClassVar[str] = "alexgkendall/caffe-segnet"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "pool" type: "Pooling" bottom: "x" top: "pool" top: "mask"
      pooling_param { kernel_size: 2 stride: 2 }
    }
    layer {
      name: "up" type: "Upsample" bottom: "pool" bottom: "mask" top: "y"  # 2×8×12×12
      upsample_param { upsample_h: 12 upsample_w: 12 }
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = passed_over = frozenset({1})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("upsample_param")
        self._together("upsample_h", "upsample_w")
        self._together("scale_h", "scale_w")
        self.size: Shape | None = None
        if settings.HasField("upsample_h"):
            self.size = (settings.upsample_h, settings.upsample_w)
            for name in ("upsample_h", "upsample_w"):
                self.require(getattr(settings, name) > 1, f"upsample_param.{name}", "must be above 1")
            return
        each = settings.HasField("scale_h")
        both = "scale and scale_h are both given"
        self.expect(not (each and settings.HasField("scale")), both, "upsample_param.scale_h", "leave one of them out")
        whole = settings.scale if settings.HasField("scale") else 2
        self.scales = (settings.scale_h, settings.scale_w) if each else (whole, whole)
        for name, scale in zip(("scale_h", "scale_w") if each else ("scale",), self.scales, strict=False):
            self.expect(scale > 1, f"{name} must be above 1, got {scale}", f"upsample_param.{name}")
        self.less = (int(settings.pad_out_h), int(settings.pad_out_w))
        for name, less, scale in zip(("pad_out_h", "pad_out_w"), self.less, self.scales, strict=True):
            only = f"{name} is for a factor of 2 only, got {scale}"
            self.expect(not less or scale == 2, only, f"upsample_param.{name}", "give upsample_h and upsample_w")

    def _together(self, one: str, other: str) -> None:
        settings = self.settings("upsample_param")
        given = [name for name in (one, other) if settings.HasField(name)]
        alone = f"{one} and {other} must both be given, or neither"
        self.expect(len(given) != 1, alone, f"upsample_param.{''.join(given)}" if len(given) == 1 else "")
        if len(given) == 1:
            self.raise_faults()

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image = image_of(self, bottoms[0])
        alike = f"its bottoms must have one shape, got {bottoms[0]} and {bottoms[1]}"
        self.expect(bottoms[0] == bottoms[1], alike, "bottom[1]", "the second is the second top of a Pooling layer")
        if self.size is not None:
            return [(*bottoms[0][:2], *self.size)]
        sizes = [n * scale - less for n, scale, less in zip(image, self.scales, self.less, strict=True)]
        return [(*bottoms[0][:2], *sizes)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, at = bottoms
        (top,) = self.shapes([tuple(x.shape), tuple(at.shape)])
        field = "upsample_param.upsample_h" if self.size else "upsample_param"
        return (placed(self, x, at, top[2:], field),)
