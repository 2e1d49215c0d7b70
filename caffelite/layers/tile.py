"""Tile: copies of a blob one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, layer

if TYPE_CHECKING:
    from torch import Tensor


@layer("Tile")
class Tile(Layer):
    """`tiles` copies of its bottom along `axis` (1 unless set; may be negative): [a b] becomes [a b a b],
    N×C×… → N×(tiles·C)×… for axis 1.

    Source: `src/caffe/layers/tile_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "tile" type: "Tile" bottom: "x" top: "y" tile_param { axis: 1 tiles: 3 } }  # 64×30
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("tile_param")
        if self.expect(settings.HasField("tiles"), "tiles is missing", "tile_param", help="say how many copies"):
            self.require(settings.tiles > 0, "tile_param.tiles", "must be positive")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        settings, shape = self.settings("tile_param"), bottoms[0]
        index = self.axis(settings.axis, len(shape), "tile_param.axis")
        self.times = tuple(settings.tiles if axis == index else 1 for axis in range(len(shape)))
        return [tuple(size * times for size, times in zip(shape, self.times, strict=True))]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].repeat(self.times),)
