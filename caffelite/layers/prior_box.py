"""PriorBox: boxes of several sizes and shapes over a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Fault
from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "prior_box_param"
_FACE_BOXES = [32, 64, 128]
"""The sizes by which a fork knows that it should lay more boxes."""


@layer("PriorBox")
class PriorBox(Layer):
    """Boxes around the center of every cell of a grid, the first bottom, N×C×H×W, laid over an image, the second, whose
    size counts: 1×2×(H·W·P·4).

    A cell has, for each min_size s: a square of s, one of √(s·S) with its max_size S, and for each aspect ratio r other
    than 1 a box of s·√r by s/√r.  The first half of the top holds xmin, ymin, xmax, ymax of each as parts of the
    image's width and height, row by row; the second half the variances.  The center of a cell is (column + offset)·step
    and (row + offset)·step.  Sizes are whole numbers of pixels: their fractions are dropped.  Nothing gets a gradient.

    With fixed_size s in place of min_size there are density × density boxes of s by s for each, and as many of each
    other shape (those of fixed_ratio, if there are any, take the place of all), row by row around the center,
    ⌊s/density⌋ from one to the next, and they are cut off at the image's edges.

    Sources: `src/caffe/layers/prior_box_layer.cpp` of weiliu89/caffe, branch ssd; Liu et al., 2016; for fixed_size,
    that of zihaozhang9/FaceBoxes (which, with several fixed_ratio, writes more boxes than its top has room for); Zhang
    et al., "FaceBoxes", 2017.
    """

    fork: ClassVar[str] = "weiliu89/caffe, branch ssd"
    example = """
    layer {
      name: "in" type: "Input" top: "features" top: "data"
      input_param { shape { dim: 1 dim: 8 dim: 10 dim: 10 } shape { dim: 1 dim: 3 dim: 300 dim: 300 } }
    }
    layer {
      name: "priors" type: "PriorBox" bottom: "features" bottom: "data" top: "priors"  # 1×2×1600
      prior_box_param { min_size: 60 max_size: 111 aspect_ratio: 2 step: 30 variance: 0.1 }
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = passed_over = frozenset({0, 1})

    _made: tuple[tuple[Shape, Shape], Tensor] | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(_FIELD)
        self.small, self.large = list(settings.min_size), list(settings.max_size)
        self.dense = bool(settings.fixed_size)
        given = bool(self.small or self.dense)
        self.expect(given, "min_size is missing: the sides of squares in pixels", _FIELD)
        self._expect_sizes()
        self._expect_fixed()
        self.ratios = list(settings.fixed_ratio) or _ratios(settings.aspect_ratio, flip=settings.flip)
        for position, ratio in enumerate(settings.aspect_ratio):
            field = f"{_FIELD}.aspect_ratio[{position}]"
            self.expect(0 < ratio < math.inf, f"aspect_ratio must be positive, got {ratio:g}", field)
        self.image = self._pair("img_size", "img_h", "img_w")
        self.step = self._pair("step", "step_h", "step_w")
        self._expect_variances(settings.variance)

    def _expect_sizes(self) -> None:
        few = f"needs no max_size, or one for each of {len(self.small)} min_size, got {len(self.large)}"
        self.expect(len(self.large) in (0, len(self.small)), few, f"{_FIELD}.max_size")
        for position, size in enumerate(self.small):
            self.expect(size > 0, f"min_size must be positive, got {size:g}", f"{_FIELD}.min_size[{position}]")
        for position, (small, large) in enumerate(zip(self.small, self.large, strict=False)):
            what = f"max_size must be greater than min_size, {small:g}, got {large:g}"
            self.expect(large > small, what, f"{_FIELD}.max_size[{position}]")

    def _expect_fixed(self) -> None:
        settings = self.settings(_FIELD)
        for name in ("density", "fixed_ratio"):
            alone = f"{name} is for fixed_size, and there is none"
            self.expect(self.dense or not getattr(settings, name), alone, f"{_FIELD}.{name}")
        for name in ("min_size", "max_size") if self.dense else ():
            self.expect(not getattr(settings, name), f"{name} and fixed_size are both given", f"{_FIELD}.{name}")
        both = "aspect_ratio and fixed_ratio are both given"
        self.expect(not (settings.fixed_ratio and settings.aspect_ratio), both, f"{_FIELD}.fixed_ratio")
        each = f"needs one density for each of {len(settings.fixed_size)} fixed_size, got {len(settings.density)}"
        same = len(settings.density) == len(settings.fixed_size)
        self.expect(same or not self.dense, each, f"{_FIELD}.density")
        for name, least in (("fixed_size", 1), ("fixed_ratio", 0), ("density", 1)):
            for position, value in enumerate(getattr(settings, name)):
                rule = "must be a whole number from 1 on" if name == "density" else "must be positive"
                fine = value >= least and (name != "density" or value == int(value)) and value > 0
                self.expect(fine, f"{name} {rule}, got {value:g}", f"{_FIELD}.{name}[{position}]")

    def _expect_variances(self, given: Sequence[float]) -> None:
        self.expect(len(given) in (0, 1, 4), f"needs 4 variances, 1 or none, got {len(given)}", f"{_FIELD}.variance")
        for position, variance in enumerate(given):
            field = f"{_FIELD}.variance[{position}]"
            self.expect(variance > 0, f"variance must be positive, got {variance:g}", field)
        variances = list(given) or [0.1]
        self.variances = np.array(variances * (4 // len(variances)), np.float32)

    def _pair(self, both: str, height: str, width: str) -> tuple[float, float] | None:
        """A setting of height and width, given as one number or as two; None if it is not given."""
        settings = self.settings(_FIELD)
        given = [name for name in (both, height, width) if settings.HasField(name)]
        if not given:
            return None
        apart = given != [both]
        self.expect(not apart or both not in given, f"has both {both} and {given[-1]}", f"{_FIELD}.{both}")
        for name in (height, width) if apart else (both,):
            self.require(getattr(settings, name) > 0, f"{_FIELD}.{name}", "must be positive")
        return (getattr(settings, height), getattr(settings, width)) if apart else (getattr(settings, both),) * 2

    def warnings(self) -> Sequence[Fault]:
        settings = self.settings(_FIELD)
        if list(settings.min_size) != _FACE_BOXES or settings.max_size or settings.aspect_ratio:
            return ()
        what = "sfzhang15/FaceBoxes lays 21 boxes of these sizes into a cell, not 3 as here: its layer is not built"
        return [self.fault(what, f"{_FIELD}.min_size", "nothing to do, unless the file is of that fork", "warning")]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        for position, shape in enumerate(bottoms):
            four = f"needs bottoms of 4 axes (num, channels, height, width), got {shape}"
            self.expect(len(shape) == 4, four, f"bottom[{position}]")
        self.raise_faults()
        return [(1, 2, math.prod(bottoms[0][2:]) * len(self._cell()) * 4)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        grid, image = tuple(bottoms[0].shape[2:]), tuple(bottoms[1].shape[2:])
        if self._made is None or self._made[0] != (grid, image) or self._made[1].device != bottoms[0].device:
            self._made = (grid, image), torch.from_numpy(self._top(grid, image)).to(bottoms[0].device)
        return (self._made[1].clone(),)

    def _top(self, grid: Shape, image: Shape) -> NDArray[np.float32]:
        """Both halves, in the precision of the source: centers and sizes are rounded to float32, and the corners are
        made of these in double precision."""
        height, width = self.image or image
        down, right = self.step or (np.float32(height) / np.float32(grid[0]), np.float32(width) / np.float32(grid[1]))
        y, x = (
            (np.arange(count, dtype=np.float32) + np.float32(self.settings(_FIELD).offset)) * np.float32(step)
            for count, step in zip(grid, (down, right), strict=True)
        )
        centers = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1).astype(np.float64)[:, :, None]
        cell = np.array(self._cell(), np.float64)
        centers = (centers + cell[:, :2]).astype(np.float32).astype(np.float64)
        half = cell[:, 2:].astype(np.float32).astype(np.float64) / 2
        boxes = np.concatenate([centers - half, centers + half], -1) / np.array([width, height] * 2, np.float64)
        if self.dense:
            boxes = np.concatenate([boxes[..., :2].clip(min=0), boxes[..., 2:].clip(max=1)], -1)
        if self.settings(_FIELD).clip:
            boxes = boxes.clip(0, 1)
        variances = np.broadcast_to(self.variances, boxes.shape)
        return np.stack([boxes.reshape(-1).astype(np.float32), variances.reshape(-1)])[None]

    def _cell(self) -> list[tuple[float, float, float, float]]:
        """The boxes of a cell, in their order: how far their centers are from its own, across and down, width and
        height."""
        if not self.dense:
            return [(0.0, 0.0, *size) for size in self._sizes()]
        settings, boxes = self.settings(_FIELD), []
        for size, density in zip(settings.fixed_size, settings.density, strict=True):
            shift = int(size / density)
            steps = [shift / 2 + at * shift - int(size) // 2 for at in range(int(density))]
            for ratio in self.ratios:
                plain = ratio == 1 and not settings.fixed_ratio
                shape = (int(size), int(size)) if plain else _shaped(size, ratio)
                boxes += [(across, down, *shape) for down in steps for across in steps]
        return boxes

    def _sizes(self) -> list[tuple[float, float]]:
        """Width and height of the boxes of a cell, in their order."""
        sizes, part = [], 2 if self.settings(_FIELD).reduce_boxes else 1
        for position, given in enumerate(self.small):
            side = int(given)
            sizes.append((side / part, side / part))
            if self.large:
                sizes.append((math.sqrt(side * int(self.large[position])),) * 2)
            sizes += [_shaped(side, ratio) for ratio in self.ratios[1:]]
        return sizes


def _shaped(side: float, ratio: float) -> tuple[float, float]:
    """Width and height of a square that is given an aspect ratio; the root is a float32 in the source."""
    root = float(np.sqrt(np.float32(ratio)))
    return side * root, side / root


def _ratios(given: Sequence[float], *, flip: bool) -> list[float]:
    """1, and the aspect ratios in their order, each with its inverse behind it if they are flipped; one that is there
    already is left out."""
    ratios = [1.0]
    for ratio in given:
        if all(abs(ratio - other) >= 1e-6 for other in ratios):
            ratios += [ratio, float(np.float32(1 / ratio))] if flip and ratio else [ratio]
    return ratios
