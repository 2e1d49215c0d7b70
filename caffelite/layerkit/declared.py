"""Shapes that source layers are told in the prototxt."""

from __future__ import annotations

from .base import Layer, Shape


def declared_shapes(layer: Layer, field: str) -> list[Shape]:
    """The BlobShapes of the settings `field` (such as "input_param"); notes a fault for a negative size."""
    shapes = [tuple(shape.dim) for shape in layer.settings(field).shape]
    for position, shape in enumerate(shapes):
        path = f"{field}.shape[{position}].dim"
        layer.expect(min(shape, default=0) >= 0, f"shape must have no negative dim, got {list(shape)}", path)
    return shapes
