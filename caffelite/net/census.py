"""How many values of an array are finite, and how that is said."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import torch

from ..runtime.device import numbers


def finite(tensors: Iterable[torch.Tensor | None]) -> bool:
    """Whether every value is finite (None has none).  Waits for the device.

    A sum shows it, at the cost of reading once; only where a sum itself overflows each value is looked at.
    """
    found = [tensor.detach() for tensor in tensors if tensor is not None]
    if math.isfinite(sum(chain.from_iterable(numbers([tensor.sum() for tensor in found])))):
        return True
    return all(bool(tensor.isfinite().all()) for tensor in found)


@dataclass(frozen=True, slots=True)
class Census:
    """The values of an array, counted.

    Attributes:
        count: how many there are.
        odd: of those that are not finite, how many are "nan", "inf" and "-inf"; kinds there are none of are left out.
        first: the sample (index along the first axis) that holds the first of them; None where there is none.
        low, high: the range of the finite ones; nan where there are none.
    """

    count: int
    odd: dict[str, int]
    first: int | None
    low: float
    high: float

    @classmethod
    def of(cls, tensor: torch.Tensor, *, batch: bool = True) -> Census:
        """The census of a tensor; `batch`: its first axis is that of the samples."""
        values = tensor.detach()
        sound = values.isfinite()
        kinds = {"nan": values.isnan(), "inf": values.isposinf(), "-inf": values.isneginf()}
        odd = {kind: count for kind, mask in kinds.items() if (count := int(mask.sum()))}
        kept = values[sound]
        low, high = (float(kept.min()), float(kept.max())) if kept.numel() else (math.nan, math.nan)
        first = int((~sound).nonzero()[0, 0]) if odd and batch and values.dim() else None
        return cls(values.numel(), odd, first, low, high)

    @property
    def range(self) -> str:
        """The range of the finite values."""
        if math.isnan(self.low):
            return "none"
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"

    def __str__(self) -> str:
        """What follows the name of the array."""
        if not self.odd:
            return f"is finite, {self.range}"
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.odd.items())
        text = f"is {next(iter(self.odd))}" if self.count == 1 else f"has {kinds} among {self.count} values"
        text += "" if self.first is None else f", the first in sample {self.first}"
        return text if math.isnan(self.low) else f"{text}, the others {self.range}"
