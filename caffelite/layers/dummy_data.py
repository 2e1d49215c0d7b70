"""DummyData: blobs made by fillers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .. import fillers
from ..layerkit import Layer, Run, Shape, at_least, exactly, layer
from ..layerkit.base import torch
from ..layerkit.declared import declared_shapes
from ..proto import FillerParameter

if TYPE_CHECKING:
    from torch import Tensor

DIMENSIONS = ("num", "channels", "height", "width")


@layer("DummyData")
class DummyData(Layer):
    """Each top is filled by its `data_filler` (one for all, one for each, or zeros): constants once, all others anew
    in every forward; what is written to the blob of a constant stays there.  So it is with NVIDIA/caffe's fillers that
    are called "static".  Shapes: `shape`, or the older num,
    channels, height and width, once for all or for each top.

    Source: `src/caffe/layers/dummy_data_layer.cpp`.
    """

    example = """
    layer {
      name: "noise" type: "DummyData" top: "data" top: "label"
      dummy_data_param {
        shape { dim: 64 dim: 1 dim: 28 dim: 28 } data_filler { type: "gaussian" std: 1 }
        shape { dim: 64 } data_filler { type: "constant" value: 3 }
      }
    }
    """

    bottoms, tops = exactly(0), at_least(1)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, tops = self.settings("dummy_data_param"), len(self.param.top)
        given_fillers = list(settings.data_filler)
        self.expect(
            len(given_fillers) in (0, 1, tops),
            f"needs no data_filler, one for all of its {tops} tops or one for each, got {len(given_fillers)}",
            "dummy_data_param.data_filler",
        )
        older = [field for field in DIMENSIONS if len(getattr(settings, field))]
        self.expect(
            not older or not settings.shape,
            f"shape and {', '.join(older)} are two spellings of one setting",
            "dummy_data_param.shape",
            help="keep shape { dim: … }",
        )
        for field in DIMENSIONS if older else ("shape",):
            given = len(getattr(settings, field))
            self.expect(
                given in (1, tops),
                f"needs one {field} for all of its {tops} tops or one for each, got {given}",
                f"dummy_data_param.{field}",
            )
        self.raise_faults()
        each = given_fillers or [FillerParameter(type="constant", value=0)]
        self.fillers = each if len(each) > 1 else each * tops

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        settings, tops = self.settings("dummy_data_param"), len(self.param.top)
        if settings.shape:
            given = declared_shapes(self, "dummy_data_param")
        else:
            sizes = [list(getattr(settings, field)) for field in DIMENSIONS]
            count = max(map(len, sizes))
            given = list(zip(*(size * (count if len(size) == 1 else 1) for size in sizes), strict=True))
        self.sizes: list[Shape] = given if len(given) > 1 else given * tops
        for position, (filler, size) in enumerate(zip(self.fillers, self.sizes, strict=True)):
            for fault in fillers.faults(filler, size):
                field = f"dummy_data_param.data_filler[{min(position, len(settings.data_filler) - 1)}]"
                self.expect(False, f"data_filler {fault.message}", field, fault.help)
        return self.sizes

    def _filled(self, run: Run, position: int) -> Tensor:
        generator = run.numpy_generator(self.name, str(position))
        return torch.from_numpy(fillers.fill(self.fillers[position], self.sizes[position], generator)).to(run.device)

    def held(self, run: Run) -> Mapping[int, Tensor]:
        """The constants."""
        return {
            position: self._filled(run, position)
            for position, filler in enumerate(self.fillers)
            if fillers.fillers[filler.type].once
        }

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor | None]:
        return tuple(
            None if fillers.fillers[filler.type].once else self._filled(run, position)
            for position, filler in enumerate(self.fillers)
        )
