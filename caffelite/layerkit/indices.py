"""Indices that arrive as float blobs (Embed, BatchReindex)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import LayerError
from .base import Layer, torch

if TYPE_CHECKING:
    from torch import Tensor


def rows_at(layer: Layer, table: Tensor, values: Tensor, position: int) -> Tensor:
    """The rows of `table` at these indices, their fractions cut off: M×… for M indices in whatever shape.

    Args:
        values: 0 or larger, below the number of rows.
        position: which bottom the indices are, for messages.

    Raises:
        LayerError: an index is none (on the CPU; elsewhere a check would have to wait for the device, and its row is
            NaN instead).
    """
    flat, count = values.detach().reshape(-1), len(table)
    if flat.device.type != "cpu":
        return rows_or_nan(table, flat)
    if flat.numel():
        low, high = torch.aminmax(flat)
        if not (low >= 0 and high < count):
            _refuse(layer, flat, values, count, position)
    return table.index_select(0, flat.long())


def rows_or_nan(table: Tensor, flat: Tensor) -> Tensor:
    """The rows at these indices, and NaN where an index is none, without waiting for the device they are on."""
    sound = (flat >= 0) & (flat < len(table))
    rows = table.index_select(0, torch.where(sound, flat, 0).long())
    return rows * torch.where(sound, 1.0, math.nan).reshape(-1, *[1] * (table.dim() - 1))


def _refuse(layer: Layer, flat: Tensor, values: Tensor, count: int, position: int) -> None:
    at = int((~((flat >= 0) & (flat < count))).nonzero()[0])
    per_sample = max(1, flat.numel() // max(1, len(values))) if values.dim() else 1
    sample, inside = divmod(at, per_sample)
    where = f" at position {inside} of {per_sample}" if per_sample > 1 else ""
    message = f"index of sample {sample}{where} must be from 0 to {count - 1}, got {float(flat[at]):g}"
    raise LayerError(layer.fault(message, f"bottom[{position}]", "indices count from 0"))
