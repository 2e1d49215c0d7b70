"""SPP: spatial pyramid pooling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..layerkit.base import Layer, Shape, layer, torch
from ..layerkit.pooling import image_of, laid, reduced
from ..layerkit.windows import Window, pooled
from ..proto import PoolingParameter

if TYPE_CHECKING:
    from ..layerkit import Run


@layer("SPP")
class SPP(Layer):
    """Poolings over 1×1, 2×2, 4×4 … windows that cover the image, so that images of any size give equally many values.

    N×C×H×W → N×C·(4^h − 1)/3 for a `pyramid_height` h of 2 or more: level after level, each flattened from C×rows×
    columns; N×C×1×1 for h = 1.  On level l windows are k = ⌈H / 2ˡ⌉ high, one beside the other, and the image is padded
    by half of what they cover more than it, (k·2ˡ − H + 1) / 2 rounded down.  A level whose padding is as large as its
    windows is refused, as in the original (4 windows on 5 positions, say).

    STOCHASTIC is for images that need no padding; it draws in TRAIN and takes the mean in TEST, as Pooling does (the
    original's draws in TEST too).

    Source: `src/caffe/layers/spp_layer.cpp`; He, Zhang, Ren and Sun, "Spatial pyramid pooling in deep convolutional
    networks for visual recognition", 2014.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 13 dim: 13 } } }
    layer { name: "spp" type: "SPP" bottom: "x" top: "y" spp_param { pyramid_height: 3 pool: MAX } }  # 2×168
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("spp_param")
        self.height, self.method = settings.pyramid_height, settings.pool
        self.require(self.height > 0, "spp_param.pyramid_height", "must be positive")

    def _levels(self, image: Shape) -> Iterator[Window]:
        """The window of every level; ends with the first that has a fault, which is noted."""
        for level in range(self.height):
            window = _window(image, 2**level)
            if not (self._coverable(image, 2**level, window) and self._paddable(image, window)):
                return
            yield window

    def _coverable(self, image: Shape, bins: int, window: Window) -> bool:
        fine = all(k > p for k, p in zip(window.kernel, window.pad, strict=True))
        (height, width), (rows, columns), (above, left) = image, window.kernel, window.pad
        message = (
            f"{bins}×{bins} windows of one size do not fit an image of {height}×{width}: they would be "
            f"{rows}×{columns}, with padding of {above}×{left}, which must be less"
        )
        return self.expect(fine, message, "spp_param.pyramid_height", "set a smaller pyramid_height")

    def _paddable(self, image: Shape, window: Window) -> bool:
        fine = self.method != PoolingParameter.STOCHASTIC or not any(window.pad)
        message = (
            f"pool: STOCHASTIC has no padding, and windows of {window.kernel[0]}×{window.kernel[1]} need some to cover "
            f"an image of {image[0]}×{image[1]}"
        )
        return self.expect(fine, message, "spp_param.pool", "use MAX or AVE")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image = image_of(self, bottoms[0])
        if not self.expect(min(image) > 0, f"needs an image, got {bottoms[0]}"):
            self.raise_faults()
        self.levels = list(self._levels(image))
        self.raise_faults()
        sizes = [pooled(image, window, ceil=True) for window in self.levels]
        count, channels = bottoms[0][:2]
        if self.height == 1:
            return [(count, channels, *sizes[0])]
        return [(count, sum(channels * rows * columns for rows, columns in sizes))]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        x = bottoms[0]
        image = tuple(x.shape[2:])
        levels = [
            reduced(self, run, x, laid(window, image, ceil=True), self.method, salt=str(level))
            for level, window in enumerate(self.levels)
        ]
        if self.height == 1:
            return levels
        return (torch.cat([level.flatten(1) for level in levels], 1),)


def _window(image: Shape, bins: int) -> Window:
    """Windows side by side, `bins` of them along either axis, with the padding they need."""
    kernel = tuple(-(-size // bins) for size in image)
    pad = tuple((k * bins - size + 1) // 2 for k, size in zip(kernel, image, strict=True))
    return Window(kernel, kernel, pad, (1, 1))
