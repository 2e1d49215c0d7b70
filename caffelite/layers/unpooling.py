"""Unpooling: the way back from Pooling to larger images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import Fault
from ..layerkit import Layer, Run, Shape, between, exactly, layer
from ..layerkit.base import torch
from ..layerkit.pooling import image_of
from ..layerkit.unpooling import placed
from ..proto import UnpoolingParameter

if TYPE_CHECKING:
    from torch import Tensor


@layer("Unpooling")
class Unpooling(Layer):
    """N×C×H×W → N×C×H′×W′ (`unpool_size`, or `unpool_h` and `unpool_w`): value (h, w) belongs to the window of
    `kernel_size` that begins at (h·stride, w·stride), cut at the image.

    MAX puts it where a second bottom says, h·W′ + w, as the second top of a Pooling holds it; without one, where the
    window begins.  AVE adds it to every position of its window, divided by their number; TILE adds it undivided, but
    its gradient is divided there, too.  Elsewhere is 0.  A second bottom gets no gradient.

    Source: `src/caffe/layers/unpooling_layer.cpp`, `unpooling_layer.cu` of HyeonwooNoh/caffe; Noh, Hong and Han,
    "Learning deconvolution network for semantic segmentation", 2015.
    """

    fork: ClassVar[str] = "HyeonwooNoh/caffe"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 6 dim: 6 } } }
    layer {
      name: "unpool" type: "Unpooling" bottom: "x" top: "y"  # 2×8×12×12
      unpooling_param { unpool: TILE kernel_size: 2 stride: 2 unpool_size: 12 }
    }
    """

    bottoms, tops = between(1, 2), exactly(1)
    ungraded = passed_over = frozenset({1})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("unpooling_param")
        self.method = settings.unpool
        for name in ("pad", "pad_h", "pad_w"):
            self.require(getattr(settings, name) == 0, f"unpooling_param.{name}", "must be 0")
        self.kernel = self._pair("kernel_size", "kernel")
        self.stride = self._pair("stride", "stride", 1)
        self.size = self._pair("unpool_size", "unpool")

    def _pair(self, whole: str, stem: str, default: int | None = None) -> Shape:
        """A setting for both axes, or as *_h and *_w."""
        settings, parts = self.settings("unpooling_param"), (f"{stem}_h", f"{stem}_w")
        given = [name for name in parts if settings.HasField(name)]
        names = parts if given else (whole,)
        if given:
            self.expect(len(given) == 2, f"{given[0]} is given alone", f"unpooling_param.{given[0]}",
                        f"give {parts[0]} and {parts[1]}")  # fmt: skip
            both = f"{whole} and {given[0]} are both given"
            self.expect(not settings.HasField(whole), both, f"unpooling_param.{given[0]}", "leave one of them out")
        elif default is None and not settings.HasField(whole):
            help = f"give {whole}, or {parts[0]} and {parts[1]}"
            self.expect(False, f"{whole} is missing", "unpooling_param", help)
            return (1, 1)
        for name in names:
            if len(given) != 1:
                self.require(getattr(settings, name) > 0, f"unpooling_param.{name}", "must be positive")
        values = tuple(int(getattr(settings, name)) for name in names)
        return values if given else values * 2

    def warnings(self) -> Sequence[Fault]:
        if self.settings("unpooling_param").unpool == UnpoolingParameter.MAX or len(self.param.bottom) < 2:
            return ()
        what = f'its second bottom, "{self.param.bottom[1]}", has no effect: only unpool: MAX reads it'
        return [self.fault(what, "bottom[1]", "leave it out", "warning")]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image_of(self, bottoms[0])
        if len(bottoms) > 1 and self.method == UnpoolingParameter.MAX:
            alike = f"its bottoms must have one shape, got {bottoms[0]} and {bottoms[1]}"
            self.expect(bottoms[0] == bottoms[1], alike, "bottom[1]", "the second is the second top of a Pooling layer")
        return [(*bottoms[0][:2], *self.size)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0]
        if self.method == UnpoolingParameter.AVE:
            return (ops.unpooling.averaged(x, self.kernel, self.stride, self.size),)
        if self.method == UnpoolingParameter.TILE:
            return (ops.unpooling.tiled(x, self.kernel, self.stride, self.size),)
        at = bottoms[1] if len(bottoms) > 1 else self._beginnings(x)
        return (placed(self, x, at, self.size, "unpooling_param"),)

    def _beginnings(self, x: Tensor) -> Tensor:
        """Where every window begins; those beyond the image at its last row or column."""
        rows, columns = (
            (torch.arange(count, device=x.device) * stride).clamp(max=size - 1)
            for count, stride, size in zip(x.shape[2:], self.stride, self.size, strict=True)
        )
        return rows.unsqueeze(1) * self.size[1] + columns
