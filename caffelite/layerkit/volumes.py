"""What Convolution3D, Deconvolution3D and Pooling3D share: clips, and the two spellings of their settings.

facebook/C3D has these settings in convolution_param and pooling_param (v1.0), or in messages of their own (v1.1); the
fields have the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .base import Layer, Shape, exactly
from .filters import Filters
from .weights import filled
from .windows import Window

if TYPE_CHECKING:
    import torch

    from .run import Run

_AXES = "num, channels, length, height, width"


def holder_of(layer: Layer, own: str, shared: str) -> str:
    """The field that holds the settings of a layer; notes a fault if both do."""
    both = layer.param.HasField(own) and layer.param.HasField(shared)
    help = f"keep {own}; {shared} is how C3D v1.0 spells it"
    layer.expect(not both, f"{own} and {shared} are both given", shared, help)
    return shared if layer.param.HasField(shared) and not both else own


def clip_of(layer: Layer, bottom: Shape) -> Shape:
    """Length, height and width of an N×C×L×H×W bottom.

    Raises:
        LayerError: it has not 5 axes.
    """
    if not layer.expect(len(bottom) == 5, f"needs a bottom of 5 axes ({_AXES}), got {bottom}"):
        layer.raise_faults()
    return bottom[2:]


def _one(layer: Layer, holder: str, name: str) -> int:
    """A setting that convolution_param repeats and the others do not: one number for height and width."""
    value = getattr(layer.settings(holder), name)
    if isinstance(value, int):
        return value
    spelt = f"{name} is given {len(value)} times: here it is one number for height and width"
    layer.expect(len(value) < 2, spelt, f"{holder}.{name}[1]", "length has kernel_depth, temporal_stride, temporal_pad")
    return int(value[0]) if value else {"kernel_size": 0, "stride": 1, "pad": 0}[name]


def clip_window(layer: Layer, holder: str) -> Window:
    """The window over length, height and width; no `temporal_pad` where the message has none.

    Raises:
        LayerError: with all faults of the layer so far, these settings' included.
    """
    settings = layer.settings(holder)
    kernel, stride, pad = (_one(layer, holder, name) for name in ("kernel_size", "stride", "pad"))
    for name, value in (("kernel_size", kernel), ("kernel_depth", settings.kernel_depth)):
        layer.expect(value > 0, f"{name} is missing, or 0", f"{holder}.{name}", "give kernel_size: 3 kernel_depth: 3")
    for name, value in (("stride", stride), ("temporal_stride", settings.temporal_stride)):
        layer.expect(value > 0, f"{name} must be positive, got {value}", f"{holder}.{name}")
    others = [
        name for name in ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w") if _has(settings, name)
    ]
    for name in others:
        help = "kernel_size, stride and pad are for height and width"
        layer.expect(False, f"{name} has no meaning for clips", f"{holder}.{name}", help)
    layer.raise_faults()
    return Window(
        (settings.kernel_depth, kernel, kernel),
        (settings.temporal_stride, stride, stride),
        (getattr(settings, "temporal_pad", 0), pad, pad),
        (1, 1, 1),
    )


def _has(settings: Any, name: str) -> bool:
    return name in settings.DESCRIPTOR.fields_by_name and settings.HasField(name)


class ClipFilters(Filters):
    """Base of Convolution3D and Deconvolution3D: Filters over clips, N×C×L×H×W, with the settings of C3D.

    Attributes:
        holder: the field that holds the settings.
    """

    bottoms, tops = exactly(1), exactly(1)
    holder = "convolution3d_param"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.holder = holder_of(self, "convolution3d_param", "convolution_param")
        clip_of(self, bottoms[0])
        settings, self.channel_axis, self.channels, self.group = self.settings(self.holder), 1, bottoms[0][1], 1
        self.outputs = settings.num_output
        self.require(self.outputs > 0, f"{self.holder}.num_output", "must be positive")
        parts = settings.filter_group
        if self.require(parts > 0, f"{self.holder}.filter_group", "must be positive"):
            uneven = f"num_output must be a multiple of filter_group, got {self.outputs} with filter_group: {parts}"
            self.expect(self.outputs % parts == 0, uneven, f"{self.holder}.filter_group")
        self.window = clip_window(self, self.holder)
        shape = (*self.weight_head(), *self.window.kernel)
        self.weights = [filled(self, shape, f"{self.holder}.weight_filler")]
        if settings.bias_term:
            self.weights.append(filled(self, (1, 1, 1, 1, self.outputs), f"{self.holder}.bias_filler"))
        self.lone, self.plain = (), True
        self.moves = self.window.stride, self.window.pad, self.window.dilation

    def warnings(self) -> list[Any]:
        settings = self.settings(self.holder)
        given = [name for name in ("group", "axis", "dilation", "engine", "force_nd_im2col") if _given(settings, name)]
        why = "has no effect: filters over clips see all channels, side by side"
        return [self.fault(f"{name} {why}", f"{self.holder}.{name}", "leave it out", "warning") for name in given]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        bias = weights[1].reshape(-1) if len(weights) > 1 else None
        return (self.apply(bottoms[0], weights[0], bias),)


def _given(settings: Any, name: str) -> bool:
    if name == "dilation":
        return bool(getattr(settings, "dilation", ()))
    return _has(settings, name)
