"""The loss that is displayed: averaged over the last `average_loss` iterations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

MOST_PENDING = 1024
"""Losses kept as tensors before they are fetched: one wait for the device per so many iterations."""


class SmoothedLoss:
    """A running mean in single precision, with the arithmetic of `Solver::UpdateSmoothedLoss`
    (`src/caffe/solver.cpp`), computed when somebody looks.

    Until then losses stay tensors, so that adding one does not wait for the device.

    Attributes:
        window: how many losses are averaged.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.clear()

    def clear(self) -> None:
        """Begin anew, as each call of `step` does."""
        self._pending: list[Tensor] = []
        self._losses: list[np.float32] = []
        self._next = 0
        self._mean = np.float32(0)

    def window_of(self) -> list[float]:
        """The losses that the mean is of, oldest first.  Waits for the device."""
        self._fold()
        return [float(loss) for loss in (*self._losses[self._next :], *self._losses[: self._next])]

    def go_on(self, losses: Sequence[float], mean: float) -> None:
        """Stand where `window_of` and `value` said this, be it with another window."""
        self.clear()
        if len(losses) > self.window:
            for loss in losses:
                self._push(np.float32(loss))
        else:
            self._losses, self._mean = [np.float32(loss) for loss in losses], np.float32(mean)

    def add(self, loss: Tensor) -> None:
        """Add the loss of one iteration, a 0-d tensor that nobody overwrites."""
        self._pending.append(loss.detach() if loss.requires_grad else loss)
        if len(self._pending) >= MOST_PENDING:
            self._fold()

    def value(self) -> float:
        """The mean of the last `window` losses (of all there are, if fewer).  Waits for the device."""
        self._fold()
        return float(self._mean)

    def _fold(self) -> None:
        if not self._pending:
            return
        values = torch.stack(self._pending).to(torch.float32).tolist()
        self._pending.clear()
        with np.errstate(all="ignore"):  # a diverged run shows nan; it need not warn about each addition
            for value in values:
                self._push(np.float32(value))

    def _push(self, loss: np.float32) -> None:
        if len(self._losses) < self.window:
            self._losses.append(loss)
            size = np.float32(len(self._losses))
            self._mean = (self._mean * (size - np.float32(1)) + loss) / size
        else:
            self._mean = self._mean + (loss - self._losses[self._next]) / np.float32(self.window)
            self._losses[self._next] = loss
            self._next = (self._next + 1) % self.window
