"""Smoothing by a Gaussian, to the same bits for any number of threads."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

_TRUNCATED_AT = 4.0
"""Standard deviations at which the Gaussian ends."""


def smoothed(fields: torch.Tensor, sigma: float) -> torch.Tensor:
    """Fields, …×H×W, smoothed by a Gaussian along both axes; beyond their edges is 0.

    Values and weights are whole numbers of 2⁻¹⁵ and 2⁻²⁰, so that all sums are exact in float64, in whatever order and
    by however many threads the matrix products are computed.
    """
    steps, parts = 2.0**15, 2.0**20
    values = (fields.double() * steps).round_()
    values = ((values @ _gaussian(fields.shape[-1], sigma, parts, fields.device)) / parts).round_()
    values = (_gaussian(fields.shape[-2], sigma, parts, fields.device) @ values) / (parts * steps)
    return values.float()


@lru_cache(maxsize=8)
def _gaussian(length: int, sigma: float, parts: float, device: torch.device) -> torch.Tensor:
    """What each of `length` places gives to each other one: weights that sum to 1, as numbers of 1 / parts."""
    reach = max(1, round(_TRUNCATED_AT * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    away = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    values = np.exp(-0.5 * (away / sigma) ** 2) / weights.sum() * (away <= reach)
    return torch.from_numpy(np.rint(values * parts)).to(device)
