"""Interp: images resized between their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import Fault
from ..layerkit import Layer, Run, Shape, between, exactly, layer
from ..layerkit.pooling import image_of

if TYPE_CHECKING:
    from torch import Tensor


@layer("Interp")
class Interp(Layer):
    """Resizes images by bilinear interpolation with corners on corners: y[h] lies at h·(H − 1)/(H′ − 1) of x.

    N×C×H×W → N×C×H′×W′.  First −pad_beg rows and columns are cut off at the top and on the left, and −pad_end at the
    other ends.  Then H′ is, by the first that is given:

    - `use_blob_size`: that of a second bottom, which gets no gradient;
    - `shrink_factor` alone: ⌊(H − 1) / shrink_factor⌋ + 1;
    - `zoom_factor` alone: H + (H − 1) · (zoom_factor − 1);
    - `height` and `width`;
    - both factors: first the one, then the other.

    Source: `src/caffe/layers/interp_layer.cpp` of hszhao/PSPNet; use_blob_size is of soeaver/caffe-model.
    """

    fork: ClassVar[str] = "hszhao/PSPNet"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 13 dim: 17 } } }
    layer {
      name: "interp" type: "Interp" bottom: "x" top: "y"  # 2×8×25×33
      interp_param { zoom_factor: 2 }
    }
    """

    bottoms, tops = between(1, 2), exactly(1)
    ungraded = passed_over = frozenset({1})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("interp_param")
        for name in ("pad_beg", "pad_end"):
            only = "must not be positive: it is minus what is cut off"
            self.require(getattr(settings, name) <= 0, f"interp_param.{name}", only)
        for name in ("shrink_factor", "zoom_factor"):
            self.require(getattr(settings, name) >= 1, f"interp_param.{name}", "must be positive")
        several = len(bottoms) > 1
        if self.require(not settings.use_blob_size or several, "interp_param.use_blob_size", "needs a second bottom"):
            without = "its second bottom is not used without use_blob_size: true"
            help = "add interp_param { use_blob_size: true }, or leave the bottom out"
            self.expect(settings.use_blob_size or not several, without, "bottom[1]", help)
        names = ("height", "width")
        sized = all(settings.HasField(name) for name in names)
        factors = settings.HasField("shrink_factor") or settings.HasField("zoom_factor")
        what = "the size of its top is not given"
        self.expect(
            sized or factors or settings.use_blob_size or several, what, "interp_param",
            "give height and width, or zoom_factor, or shrink_factor",
        )  # fmt: skip

    def warnings(self) -> Sequence[Fault]:
        settings, faults = self.settings("interp_param"), list[Fault]()
        one = settings.HasField("shrink_factor") != settings.HasField("zoom_factor")
        if settings.use_blob_size or one:
            first = "use_blob_size" if settings.use_blob_size else "the factor"
            for name in ("height", "width"):
                faults += self.without_effect(f"interp_param.{name}", f"{first} goes before it")
        return faults

    def _cut(self, image: Shape) -> Shape:
        settings = self.settings("interp_param")
        return tuple(size + settings.pad_beg + settings.pad_end for size in image)

    def _sizes(self, bottoms: Sequence[Shape]) -> Shape:
        settings, sizes = self.settings("interp_param"), self._cut(bottoms[0][2:])
        shrinks, zooms = settings.HasField("shrink_factor"), settings.HasField("zoom_factor")
        if settings.use_blob_size:
            return image_of(self, bottoms[1])
        if settings.HasField("height") and settings.HasField("width") and shrinks == zooms:
            return (settings.height, settings.width)
        sizes = tuple((size - 1) // settings.shrink_factor + 1 for size in sizes) if shrinks else sizes
        return tuple(size + (size - 1) * (settings.zoom_factor - 1) for size in sizes)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image = image_of(self, bottoms[0])
        cut = self._cut(image)
        if not self.expect(min(cut) > 0, f"nothing is left of an image of {image[0]}×{image[1]}", "interp_param"):
            self.raise_faults()
        sizes = self._sizes(bottoms)
        self.expect(min(sizes) > 0, f"its top must be an image, got {sizes[0]}×{sizes[1]}", "interp_param")
        return [(*bottoms[0][:2], *sizes)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, begin = bottoms[0], -self.settings("interp_param").pad_beg
        height, width = self._cut(tuple(x.shape[2:]))
        sizes = self._sizes([tuple(bottom.shape) for bottom in bottoms])
        return (ops.interpolation.resized(x[:, :, begin : begin + height, begin : begin + width], *sizes),)
