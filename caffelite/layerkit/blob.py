"""Blobs: what a net's values look like from outside, and to layers that users write."""

from __future__ import annotations

import numpy as np

from ..errors import UsageError
from .base import Shape, torch
from .mirror import Mirror


class Blob:
    """Values (`data`) and their gradient (`diff`), both C-contiguous float32 NumPy arrays of shape `shape`.

    Writing to either, or to a view of it, takes effect at the next forward or backward (the blob contract of
    `docs/architecture.md`).
    """

    __slots__ = ("_shape", "data_mirror", "diff_mirror")

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self._shape = tuple(shape)
        self.data_mirror = Mirror(shape, device=device)
        self.diff_mirror = Mirror(shape, device=device)

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self._shape

    @property
    def data(self) -> np.ndarray:
        """The values; an array object of its own each time, so that who gives it another shape does not to others."""
        return self.data_mirror.array().view()

    @data.setter
    def data(self, values: np.ndarray) -> None:
        self.data_mirror.array()[...] = values

    @property
    def diff(self) -> np.ndarray:
        """The gradient of the loss with respect to the values."""
        return self.diff_mirror.array().view()

    @diff.setter
    def diff(self, values: np.ndarray) -> None:
        self.diff_mirror.array()[...] = values

    def reshape(self, *shape: int) -> None:
        """Another shape.  An input blob takes its net along at the next `forward` or `reshape`.

        Raises:
            UsageError: a size is negative.
        """
        sizes = tuple(int(size) for size in shape)
        if min(sizes, default=0) < 0:
            raise UsageError(f"a blob cannot have a negative size, got shape {sizes}")
        self._shape = sizes
        self.data_mirror.reshape(self._shape)
        self.diff_mirror.reshape(self._shape)

    def to(self, device: torch.device) -> None:
        """Let the values lie on another device."""
        self.data_mirror.to(device)
        self.diff_mirror.to(device)

    @property
    def count(self) -> int:
        """Number of elements."""
        return int(np.prod(self._shape, dtype=np.int64))

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            raise ValueError(f"a blob of shape {self._shape} has no num, channels, height and width: more than 4 axes")
        return self._shape[axis] if axis < len(self._shape) else 1

    @property
    def num(self) -> int:
        """Size of axis 0 (1 where there is none)."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """Size of axis 1 (1 where there is none)."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """Size of axis 2 (1 where there is none)."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """Size of axis 3 (1 where there is none)."""
        return self._legacy(3)

    def __repr__(self) -> str:
        values, shape = self.data, " x ".join(map(str, self._shape)) or "scalar"
        if not values.size:
            return f"<Blob {shape}, empty>"
        least, most = values.min(), values.max()
        return f"<Blob {shape}, {least:.4g} to {most:.4g}>" if values.size > 1 else f"<Blob {shape}, {least:.4g}>"
