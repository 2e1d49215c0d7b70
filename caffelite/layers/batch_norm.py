"""BatchNorm: every channel brought to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from .. import ops
from ..errors import Fault
from ..layerkit import Layer, Run, Shape, WeightSpec, layer
from ..layerkit.base import torch
from ..layerkit.kernels.normalized import NormalizedKernel
from ..layerkit.weights import filled
from ..proto import TEST

if TYPE_CHECKING:
    from torch import Tensor

    from ..layerkit.kernels import Kernel

_SCALE_FILLERS = ("scale_filler", "bias_filler")
_LEAST_EPS = 1e-5
"""NVIDIA/caffe's and cuDNN's smallest eps."""


@layer("BatchNorm")
class BatchNorm(Layer):
    """y = (x − mean) / √(variance + eps) for each channel, axis 1: N×C×… → the same.  A Scale layer behind it brings
    back a learned scale and shift.

    In TRAIN, or with `use_global_stats: false`, mean and variance are those of the batch, which a forward also adds to
    what the three weights collect: mean (C), unbiased variance (C), and how much was collected (1), each first
    multiplied by moving_average_fraction.  In TEST, or with `use_global_stats: true`, they are the first two weights
    divided by the third (0 if that is 0).  These weights have no gradient and no rate.  May work in place.

    `scale_bias: true`, or a `scale_filler` or `bias_filler`, is NVIDIA/caffe's: two more weights, a scale and a shift
    (C each), do what a Scale layer does.  The phase alone decides then whose mean and variance count; the collected
    ones are at first those of the first batch, and then lose the part 1 − moving_average_fraction to each further one,
    the third weight being 1; and eps is at least 10⁻⁵.  `stats_batch_size` is intel/caffe's: the batch is divided into
    parts of so many samples, each of which has a mean and a variance.

    Sources: `src/caffe/layers/batch_norm_layer.cpp`; `cudnn_batch_norm_layer.cu` of NVIDIA/caffe; that file of
    intel/caffe; Ioffe and Szegedy, 2015.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 8 dim: 12 dim: 12 } } }
    layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" }
    layer { name: "scale" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }
    """

    collects = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, shape = self.settings("batch_norm_param"), bottoms[0]
        self.fraction, self.eps = float(settings.moving_average_fraction), float(settings.eps)
        self.given = bool(settings.use_global_stats) if settings.HasField("use_global_stats") else None
        self.scaled = settings.scale_bias or any(map(settings.HasField, _SCALE_FILLERS))
        self.expect(
            len(shape) >= 2, f"needs a bottom with at least 2 axes (channels are axis 1), got {shape}", "bottom"
        )
        self.expect(
            not settings.HasField("filler"),
            "filler starts the Scale layer behind this one, as in intel/caffe, and there is none",
            "batch_norm_param.filler",
            help="add a Scale layer, or write scale_filler for a scale of its own",
        )
        self.raise_faults()
        sizes = {"mean": shape[1:2], "variance": shape[1:2], "amount": (1,)}
        self.weights = [WeightSpec(size, name=name, learned=False) for name, size in sizes.items()]
        if self.scaled:
            self._scale(shape[1:2])
        self._keep_from_learning()

    def _scale(self, shape: Shape) -> None:
        self.eps, self.given = max(self.eps, _LEAST_EPS), None
        self.weights[2] = WeightSpec((1,), _one, "amount", learned=False)
        one = type(self.settings("batch_norm_param").scale_filler)(value=1)
        self.weights += [
            filled(self, shape, "batch_norm_param.scale_filler", one),
            filled(self, shape, "batch_norm_param.bias_filler"),
        ]

    @property
    def capturable(self) -> bool:  # type: ignore[override]
        """See the base.  With a scale of its own what is collected depends on whether it is the first batch."""
        return not self.scaled

    @property
    def collected(self) -> bool:
        """Whether mean and variance are those that were collected, not the batch's."""
        return self.phase == TEST if self.given is None else self.given

    def _keep_from_learning(self) -> None:
        """Give the three weights that are collected lr_mult: 0.  NVIDIA/caffe does it whatever the prototxt says."""
        specs = self.param.param
        self._forced = [slot for slot, spec in enumerate(specs[:3]) if self.scaled and spec.lr_mult]
        for slot in range(len(specs[:3])):
            learned = f"lr_mult must be 0: its weights are statistics, and are not learned; got {specs[slot].lr_mult:g}"
            fits = self.scaled or specs[slot].lr_mult == 0
            self.expect(fits, learned, f"param[{slot}]", help="leave param out")
        for slot in self._forced:
            specs[slot].lr_mult = 0
        while len(specs) < 3:
            specs.add(lr_mult=0)

    def warnings(self) -> Sequence[Fault]:
        if not self.scaled:
            return ()
        found = self.without_effect("batch_norm_param.use_global_stats", "with scale_bias the phase decides")
        for slot in self._forced:
            text = "lr_mult has no effect: the first three weights are statistics, and are not learned"
            found.append(self.fault(text, f"param[{slot}]", "leave param out", "warning", "CL304"))
        return found

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, channels = bottoms[0], self.weights[0].shape[0]
        self.expect(
            shape[1:2] == (channels,),
            f"has statistics of {channels} channels, and its bottom of shape {shape} has other channels",
            "bottom",
        )
        self.expect(self.collected or prod(shape) > 0, f"needs at least one value per channel, got {shape}", "bottom")
        size = self.settings("batch_norm_param").stats_batch_size
        if size and not self.collected:
            rule = f"must divide the {shape[0]} samples of its bottom"
            self.require(shape[0] % size == 0, "batch_norm_param.stats_batch_size", rule)
        return [shape]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        statistics, learned = [weight.detach() for weight in weights[:3]], weights[3:]
        if self.collected:
            mean, variance = self.so_far(statistics)
            return (ops.normalization.by_statistics(bottoms[0], mean, variance, self.eps, *learned),)
        size = self.settings("batch_norm_param").stats_batch_size
        parts = [self._part(part, statistics, learned, run) for part in bottoms[0].split(size or len(bottoms[0]))]
        return (torch.cat(parts) if len(parts) > 1 else parts[0],)

    def _part(self, x: Tensor, statistics: Sequence[Tensor], learned: Sequence[Tensor], run: Run) -> Tensor:
        """x by its own mean and variance, which are collected."""
        y, *found = ops.normalization.by_batch(x, self.eps, *learned)
        if not self.scaled:
            self.collect(statistics, *found)
            return y
        stays, before = self.fraction if run.position else 0.0, self.so_far(statistics)
        for weight, old, new in zip(statistics, before, found, strict=False):
            weight.copy_(old * stays + new * (1 - stays))
        statistics[2].fill_(1)
        return y

    def so_far(self, statistics: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What was collected, divided by how much it was; 0 where that is 0."""
        mean, variance, amount = statistics
        part = torch.where(amount == 0, 0, 1 / amount)
        return mean * part, variance * part

    def collect(self, statistics: Sequence[Tensor], mean: Tensor, variance: Tensor) -> None:
        """Add those of a batch to what was collected, as the original does."""
        news: tuple[Tensor | int, ...] = mean, variance, 1
        for weight, new in zip(statistics, news, strict=True):
            weight.mul_(self.fraction).add_(new)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        parts = not self.collected and self.settings("batch_norm_param").stats_batch_size
        return None if self.scaled or parts else NormalizedKernel(wants, learns, self)


def _one(_: object) -> list[float]:
    return [1.0]
