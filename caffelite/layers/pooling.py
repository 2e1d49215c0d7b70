"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit.base import Layer, Shape, between, layer
from ..layerkit.windows import Window, pooled, pooling_window
from ..proto import TRAIN, PoolingParameter

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run
    from ..ops.pooling import Grid


@layer("Pooling")
class Pooling(Layer):
    """The maximum (MAX), average (AVE) or a random value (STOCHASTIC) of windows of an image.

    N×C×H×W → N×C×H′×W′, H′ = ⌈(H + 2·pad − kernel) / stride⌉ + 1 (round_mode FLOOR: rounded down).  With padding a
    last window that would begin beyond the image is dropped; without, it is kept, empty: −FLT_MAX in MAX, 0/0 in AVE.
    AVE divides by the window's positions in the padded image, padding counted, so less only where the window
    overhangs the padding too.  A second top (MAX only) holds where each maximum is, h·W + w.

    STOCHASTIC draws a value with a probability in proportion to it in TRAIN, and gives Σx² / Σx in TEST (the original
    has it on the GPU only).

    Source: src/caffe/layers/pooling_layer.cpp, pooling_layer.cu.
    """

    tops = between(1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("pooling_param")
        self.method = settings.pool
        self.ceil = settings.round_mode == PoolingParameter.CEIL
        self.masked = len(self.param.top) > 1
        if self.masked and self.method != PoolingParameter.MAX:
            mask = f'the second top, "{self.param.top[1]}", is where each maximum is: only pool: MAX has it'
            self.expect(False, mask, "top[1]", "leave the second top out")
        self.window = pooling_window(self)
        self.expect(
            self.method != PoolingParameter.STOCHASTIC or self.window is None or not any(self.window.pad),
            "pool: STOCHASTIC has no padding",
            "pooling_param.pad",
            "set pad to 0, or use MAX or AVE",
        )
        self._grids: dict[Shape, Grid] = {}

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottoms[0]
        if not self.expect(len(shape) == 4, f"needs a bottom of 4 axes (num, channels, height, width), got {shape}"):
            self.raise_faults()
        window = self._window(shape[2:])
        sizes = pooled(shape[2:], window, self.ceil)
        for size, kernel, pad, result in zip(shape[2:], window.kernel, window.pad, sizes, strict=True):
            larger = f"the kernel spans {kernel}, more than the input of {size} with pad {pad} on both sides"
            self.expect(result > 0, larger, "pooling_param")
        return [(*shape[:2], *sizes)] * len(self.param.top)

    def _window(self, image: Shape) -> Window:
        return self.window or Window(image, (1, 1), (0, 0), (1, 1))

    def _grid(self, image: Shape) -> Grid:
        """Where the windows lie, worked out once for each size of the image."""
        grid = self._grids.get(image)
        if grid is None:
            window = self._window(tuple(image))
            size = pooled(image, window, self.ceil)
            grid = ops.pooling.Grid(window.kernel, window.stride, window.pad, self.ceil, size)
            self._grids[image] = grid
        return grid

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        x = bottoms[0]
        grid = self._grid(x.shape[2:])
        if self.masked:
            pooled_and_mask: tuple[torch.Tensor, torch.Tensor] = ops.pooling.max_pool_with_mask(x, grid)
            return pooled_and_mask
        if self.method == PoolingParameter.MAX:
            return (ops.pooling.max_pool(x, grid),)
        if self.method == PoolingParameter.AVE:
            return (ops.pooling.average_pool(x, grid),)
        if self.phase == TRAIN:
            return (ops.pooling.stochastic_pool(x, grid, run.generator(self.name)),)
        return (ops.pooling.stochastic_expectation(x, grid),)
