"""Declaring a weight together with the filler a layer's settings name for it."""

from __future__ import annotations

from .. import fillers
from .base import Layer, Shape, WeightSpec


def filled(layer: Layer, shape: Shape, field: str) -> WeightSpec:
    """A weight of `shape`, filled by the FillerParameter at the dotted path `field` ("scale_param.filler").

    A filler that cannot fill it is noted as a fault of the layer (an unset one is constant zero).
    """
    settings = layer.param
    for part in field.split("."):
        settings = getattr(settings, part)
    name = field.rsplit(".")[-1]
    for fault in fillers.faults(settings, shape):
        layer.expect(False, f"{name} {fault.message}", field, fault.help)
    return WeightSpec(shape, settings)
