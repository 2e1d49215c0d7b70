"""Pooling3D: Pooling over clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit.base import Layer, Shape, layer
from ..layerkit.volumes import clip_of, clip_window, holder_of
from ..layerkit.windows import fitting
from ..proto import Pooling3DParameter

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run


@layer("Pooling3D")
class Pooling3D(Layer):
    """The maximum (MAX) or average (AVE) of windows of clips.

    N×C×L×H×W → N×C×L′×H′×W′, where L′ = ⌈(L − kernel_depth) / temporal_stride⌉ + 1, and H′ = ⌈(H + 2·pad − kernel_size)
    / stride⌉ + 1, as W′.  Padding (AVE only) is of height and width.  AVE divides by the window's positions in the
    padded clip.  Two things are not as in Pooling: no window is dropped for beginning in the padding, and with MAX
    every value that equals a window's maximum gets all of its gradient, not only the first one.

    The settings are pooling3d_param's (C3D v1.1) or, in pooling_param, those of C3D v1.0.  STOCHASTIC is not built
    there either.

    Source: `src/caffe/layers/pool3d_layer.cpp` of facebook/C3D, v1.0 and v1.1.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "pool" type: "Pooling3D" bottom: "x" top: "y"  # 2×3×8×6×6
      pooling3d_param { pool: MAX kernel_size: 2 kernel_depth: 1 stride: 2 temporal_stride: 1 }
    }
    """

    fork: ClassVar[str] = "facebook/C3D"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.holder = holder_of(self, "pooling3d_param", "pooling_param")
        self.method = self.settings(self.holder).pool
        self.window = clip_window(self, self.holder)
        built = self.method in (Pooling3DParameter.MAX, Pooling3DParameter.AVE)
        self.expect(built, "clips are pooled by MAX or AVE only, as in C3D", f"{self.holder}.pool", "use MAX or AVE")
        padded = "with pool: MAX there is no padding"
        plain = self.method != Pooling3DParameter.MAX or not any(self.window.pad)
        self.expect(plain, padded, f"{self.holder}.pad", "set pad to 0, or use AVE")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        clip, window = clip_of(self, bottoms[0]), self.window
        moves = zip(clip, window.pad, window.kernel, window.stride, strict=True)
        size = tuple(-(-(n + 2 * p - k) // s) + 1 for n, p, k, s in moves)
        return [(*bottoms[0][:2], *fitting(self, clip, window, size, self.holder))]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        x, window = bottoms[0], self.window
        (top,) = self.shapes([tuple(x.shape)])
        grid = ops.volumes.Grid3D(window.kernel, window.stride, window.pad, top[2:])
        pool = ops.volumes.max_pool if self.method == Pooling3DParameter.MAX else ops.volumes.average_pool
        return (pool(x, grid),)
