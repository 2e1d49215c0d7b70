"""Declaring a weight together with the filler a layer's settings name for it."""

from __future__ import annotations

from typing import Any

from .. import fillers
from .base import Layer, Shape, WeightSpec


def filled(layer: Layer, shape: Shape, field: str, default: Any = None) -> WeightSpec:
    """A weight of `shape`, filled by the FillerParameter at the dotted path `field` ("scale_param.filler").

    One that is not set is `default`, or constant zero without that.  A filler that cannot fill the weight is noted as
    a fault of the layer.  Where the last part of the path is "bias_filler" the weight is called "bias".
    """
    *path, name = field.split(".")
    holder = layer.param
    for part in path:
        holder = getattr(holder, part)
    settings = getattr(holder, name) if default is None or holder.HasField(name) else default
    for fault in fillers.faults(settings, shape):
        layer.expect(False, f"{name} {fault.message}", field, fault.help, fault.code)
    return WeightSpec(shape, settings, "bias" if name == "bias_filler" else "weight")
