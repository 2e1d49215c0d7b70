"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..errors import Fault
from ..layerkit.base import Shape, between, layer
from ..layerkit.kernels.windows import AveragePoolKernel, MaxPoolKernel
from ..layerkit.pooling import Pooled, reduced
from ..proto import PoolingParameter

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run
    from ..layerkit.kernels import Kernel


@layer("Pooling")
class Pooling(Pooled):
    """The maximum (MAX), average (AVE, AVE_EXC_PAD) or a random value (STOCHASTIC) of windows of an image.

    N×C×H×W → N×C×H′×W′, H′ = ⌈(H + 2·pad − kernel) / stride⌉ + 1 (round_mode FLOOR: rounded down).  With padding a
    last window that would begin beyond the image is dropped; without, it is kept, empty: −FLT_MAX in MAX, 0/0 in AVE.
    AVE divides by the window's positions in the padded image, padding counted, so less only where the window
    overhangs the padding too; AVE_EXC_PAD divides by those in the image, padding not counted.  A second top (MAX only)
    holds where each maximum is, h·W + w.

    STOCHASTIC draws a value with a probability in proportion to it in TRAIN, and gives Σx² / Σx in TEST (the original
    has it on the GPU only).

    Source: `src/caffe/layers/pooling_layer.cpp`, `pooling_layer.cu`; for AVE_EXC_PAD, ceil_mode and padding of single
    sides (pad_l, pad_r, pad_t, pad_b) that of foss-for-synopsys-dwc-arc-processors/synopsys-caffe, whose
    gradients go to other places where the sides differ; here they go where the values came from.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 20 dim: 24 dim: 24 } } }
    layer {
      name: "pool1" type: "Pooling" bottom: "x" top: "pool1"  # 64×20×12×12
      pooling_param { pool: MAX kernel_size: 2 stride: 2 }
    }
    """

    tops = between(1, 2)
    rounding = "as it comes"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("pooling_param")
        self.method = settings.pool
        self.masked = len(self.param.top) > 1
        if self.masked and self.method != PoolingParameter.MAX:
            mask = f'the second top, "{self.param.top[1]}", is where each maximum is: only pool: MAX has it'
            self.expect(False, mask, "top[1]", "leave the second top out")
        super().setup(bottoms)
        self.expect(
            self.method != PoolingParameter.STOCHASTIC
            or self.window is None
            or not any(self.window.pad + self.window.after),
            "pool: STOCHASTIC has no padding",
            "pooling_param.pad",
            "set pad to 0, or use MAX or AVE",
        )

    def warnings(self) -> Sequence[Fault]:
        clips = "it belongs to the layer type Pooling3D"
        return [
            *self.without_effect("pooling_param.p", "it belongs to the layer type LpPooling"),
            *self.without_effect("pooling_param.kernel_depth", clips),
            *self.without_effect("pooling_param.temporal_stride", clips),
        ]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        x = bottoms[0]
        grid = self.grid(x.shape[2:])
        if self.masked:
            pooled_and_mask: tuple[torch.Tensor, torch.Tensor] = ops.pooling.max_pool_with_mask(x, grid)
            return pooled_and_mask
        return (reduced(self, run, x, grid, self.method),)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        kinds = {PoolingParameter.MAX: MaxPoolKernel, PoolingParameter.AVE: AveragePoolKernel}
        if self.masked or self.method not in kinds or not ops.pooling.torchs(self.grid(self.image), self.image):
            return None
        return kinds[self.method](wants, learns, self.grid)
