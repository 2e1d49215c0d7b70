"""PoolingND: Pooling over images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.windows import Window, fitting, pooled, spatial_window
from ..proto import PoolingNDParameter

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "pooling_nd_param"


@layer("PoolingND")
class PoolingND(Layer):
    """The maximum (MAX) or average (AVE) of windows over the 2 or 3 axes behind `axis`, the channels'.

    N×C×H×W → N×C×H′×W′ and N×C×D×H×W → N×C×D′×H′×W′, where H′ = ⌈(H + 2·pad − kernel) / stride⌉ + 1, as of the other
    axes, and windows lie as in Pooling: with padding on any axis a last window that would begin beyond the input is
    dropped; AVE divides by the window's positions in the padded input.  The gradient of a maximum goes to the first
    one.

    Source: `src/caffe/layers/pooling_nd_layer.cpp` of the 3D-Caffe that DlutMedimgGroup/MouseCTSegmentation holds,
    which has no STOCHASTIC either; a second top, where each maximum is, is not built here.
    """

    fork: ClassVar[str] = "3D-Caffe, as in DlutMedimgGroup/MouseCTSegmentation"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "pool" type: "PoolingND" bottom: "x" top: "y"  # 1×4×4×6×6
      pooling_nd_param { pool: MAX kernel_size: 2 stride: 2 }
    }
    """

    bottoms, tops = exactly(1), exactly(1)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, shape = self.settings(_FIELD), bottoms[0]
        self.channels = self.axis(settings.axis, len(shape), f"{_FIELD}.axis")
        self.spatial = len(shape) - self.channels - 1
        few = f"needs 2 or 3 axes behind the channels' axis, {self.channels}, got shape {shape}"
        self.expect(self.spatial in (2, 3), few, "bottom[0]")
        built = settings.pool in (PoolingNDParameter.MAX, PoolingNDParameter.AVE)
        self.require(built, f"{_FIELD}.pool", "must be MAX or AVE", "the fork has no STOCHASTIC, either")
        self.raise_faults()
        self.window = spatial_window(self, self.spatial, _FIELD)

    def _placed(self, bottom: Shape) -> tuple[Window, Shape]:
        """The window, and how many of them each axis has."""
        sizes = bottom[self.channels + 1 :]
        ones, zeros = (1,) * self.spatial, (0,) * self.spatial
        window = self.window or Window(sizes, ones, zeros, ones)
        return window, pooled(sizes, window, ceil=True)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        window, counts = self._placed(bottoms[0])
        counts = fitting(self, bottoms[0][self.channels + 1 :], window, counts, _FIELD)
        return [(*bottoms[0][: self.channels + 1], *counts)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, head = bottoms[0], bottoms[0].shape[: self.channels + 1]
        window, counts = self._placed(tuple(x.shape))
        maximum = self.settings(_FIELD).pool == PoolingNDParameter.MAX
        y = x.reshape(1, -1, *x.shape[self.channels + 1 :])
        if self.spatial == 2:
            grid = ops.pooling.Grid(window.kernel, window.stride, window.pad, True, counts, window.pad)
            y = ops.pooling.max_pool(y, grid) if maximum else ops.pooling.average_pool(y, grid)
        else:
            volumes = ops.volumes.Grid3D(window.kernel, window.stride, window.pad, counts)
            y = ops.volumes.first_max_pool(y, volumes) if maximum else ops.volumes.average_pool(y, volumes)
        return (y.reshape(*head, *y.shape[2:]),)
