"""What types over images share (`image_of`), and Pooling, LpPooling and SPP: where windows lie on an image, and what a
window is reduced to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..proto import TRAIN, PoolingParameter
from .base import Layer, Shape
from .windows import Window, fitting, pooled, pooling_window

if TYPE_CHECKING:
    import torch

    from ..ops.pooling import Grid
    from .run import Run


def image_of(layer: Layer, bottom: Shape) -> Shape:
    """Height and width of an N×C×H×W bottom.

    Raises:
        LayerError: it has not 4 axes.
    """
    if not layer.expect(len(bottom) == 4, f"needs a bottom of 4 axes (num, channels, height, width), got {bottom}"):
        layer.raise_faults()
    return bottom[2:]


def laid(window: Window, image: Shape, ceil: bool) -> Grid:
    """The windows as they lie on an image."""
    size = pooled(image, window, ceil)
    grid: Grid = ops.pooling.Grid(window.kernel, window.stride, window.pad, ceil, size, window.after)
    return grid


def reduced(layer: Layer, run: Run, x: torch.Tensor, grid: Grid, method: int, salt: str = "") -> torch.Tensor:
    """Every window's maximum, average, or random value, by PoolingParameter's PoolMethod."""
    y: torch.Tensor
    if method == PoolingParameter.MAX:
        y = ops.pooling.max_pool(x, grid)
    elif method == PoolingParameter.AVE:
        y = ops.pooling.average_pool(x, grid)
    elif method == PoolingParameter.AVE_EXC_PAD:
        y = ops.pooling.average_of_image(x, grid)
    elif layer.phase == TRAIN:
        y = ops.pooling.stochastic_pool(x, grid, run.generator(layer.name, salt))
    else:
        y = ops.pooling.stochastic_expectation(x, grid)
    return y


class Pooled(Layer):
    """Base of types that reduce the windows of a PoolingParameter, N×C×H×W → N×C×H′×W′.

    Attributes:
        image: H×W, as `shapes` was told last.
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("pooling_param")
        self.ceil = settings.round_mode == PoolingParameter.CEIL
        if settings.HasField("ceil_mode"):
            same = settings.ceil_mode == self.ceil or not settings.HasField("round_mode")
            both = "contradicts round_mode, which says the same in other words"
            self.require(same, "pooling_param.ceil_mode", both, "leave one of the two out")
            self.ceil = settings.ceil_mode
        self.window = pooling_window(self)
        self._grids: dict[Shape, Grid] = {}

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.image = image = image_of(self, bottoms[0])
        window = self._window(image)
        sizes = fitting(self, image, window, pooled(image, window, self.ceil), "pooling_param")
        return [(*bottoms[0][:2], *sizes)] * len(self.param.top)

    def _window(self, image: Shape) -> Window:
        return self.window or Window(image, (1, 1), (0, 0), (1, 1))

    def grid(self, image: Sequence[int]) -> Grid:
        """Where the windows lie, worked out once for each size of the image."""
        image = tuple(image)
        grid = self._grids.get(image)
        if grid is None:
            grid = self._grids[image] = laid(self._window(image), image, self.ceil)
        return grid
