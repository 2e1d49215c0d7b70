"""Layers that map every element on its own: one bottom, one top of the same shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import Layer, Shape


def refuse_in_place(layer: Layer) -> None:
    """Note a fault for a layer one of whose tops is also its bottom (the original refuses that for some types)."""
    shared = set(layer.param.bottom) & set(layer.param.top)
    layer.expect(
        not shared,
        f'cannot work in place: its top may not be its bottom "{min(shared, default="")}"',
        "top",
        help="give the top a name of its own",
    )


class Neuron(Layer):
    """Base of element-wise types (`src/caffe/layers/neuron_layer.cpp`): the top has the shape of the bottom."""

    @property
    def in_place(self) -> bool:
        """Whether the top is the bottom."""
        return list(self.param.top[:1]) == list(self.param.bottom[:1])

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        return [bottoms[0]]


def log_of_base(layer: Layer, field: str) -> np.float32:
    """The natural logarithm of the setting `base` of `field`, in single precision as in the original; -1 stands for e.

    Notes a fault for a base that has none, and gives that of e then.
    """
    base = np.float32(layer.settings(field).base)
    if base == -1 or not layer.require(bool(0 < base < np.inf), f"{field}.base", "must be positive, or -1 for e"):
        return np.float32(1)
    return np.log(base)
