"""Python's SpatialDropoutLayer: leave whole feature maps out at random, as ENet does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, exactly, layer
from ..layerkit.base import torch
from ..layerkit.param_str import Settings
from ..layerkit.stand_in import StandIn

if TYPE_CHECKING:
    from torch import Tensor


@layer("Python", dialect="SpatialDropoutLayer")
class SpatialDropoutLayer(StandIn):
    """`spatial_dropout.SpatialDropoutLayer`: leaves feature maps of N×C×… out by chance.  It takes that class's place
    where its code may not run or is not there.

    Keys of `param_str`: p, from 0 to 1, both excluded; and phase, 'TRAIN' or 'TEST', which counts whatever phase the
    net is in.  TRAIN: each channel of each sample is 0 with probability p, else multiplied by 1/(1 − p).  TEST: y =
    x/(1 − p): as there, the factor is not left out.  May work in place.

    The draws depend on (seed, layer, position).  The gradient comes from the channels that were kept; that of the class
    takes for all samples the draws of the last one.

    Source: Paszke et al., "ENet", 2016; `python/spatial_dropout.py` of TimoSaemann/caffe-enet.
    """

    fork: ClassVar[str] = "TimoSaemann/ENet"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 64 dim: 8 dim: 8 } } }
    layer {
      name: "drop" type: "Python" bottom: "x" top: "y" python_param {
        module: "spatial_dropout" layer: "SpatialDropoutLayer" param_str: "{'phase': 'TRAIN', 'p': '0.1'}" }
    }
    """

    bottoms, tops = exactly(1), exactly(1)

    def read(self, keys: Settings) -> None:
        self.drops = keys.word("phase", "TRAIN", "TEST") == "TRAIN"
        rule = "must be above 0 and below 1"
        self.keep = 1 - keys.number("p", None, rule, lambda value: 0 < value < 1)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.expect(len(bottoms[0]) >= 2, f"needs a bottom of N×C×…, got shape {bottoms[0]}", "bottom[0]")
        return [bottoms[0]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0]
        if not self.drops:
            return (x / self.keep,)
        mask = torch.empty((*x.shape[:2], *[1] * (x.dim() - 2)), dtype=x.dtype, device=x.device)
        mask.uniform_(generator=run.generator(self.name)).lt_(self.keep).div_(self.keep)
        return (x * mask,)
