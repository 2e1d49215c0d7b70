from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.ops.smoothing import smoothed


def test_elastic_fields_are_as_wide_as_the_paper_says() -> None:
    """Uniform noise has variance 1/3; a Gaussian of deviation s multiplies it by the sum of its squared weights in
    each direction, 1 / (2 s √π)."""
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (60, 2, 64, 64)).astype(np.float32))
    for sigma in (2.0, 4.0):
        smooth = smoothed(noise, sigma)
        middle = smooth[:, :, 24:40, 24:40]
        assert float(middle.std()) == pytest.approx((1 / 3) ** 0.5 / (2 * sigma * np.pi**0.5), rel=0.1)


def test_smoothing_is_the_sum_over_the_gaussian() -> None:
    field = np.random.default_rng(2).standard_normal((3, 5)).astype(np.float32)
    sigma, wanted = 0.6, np.zeros((3, 5))
    reach = range(-2, 3)
    weights = {away: np.exp(-0.5 * (away / sigma) ** 2) for away in reach}
    for y in range(3):
        for x in range(5):
            for down in reach:
                for right in reach:
                    if 0 <= y + down < 3 and 0 <= x + right < 5:
                        wanted[y, x] += weights[down] * weights[right] * field[y + down, x + right]
    wanted /= sum(weights.values()) ** 2
    np.testing.assert_allclose(smoothed(torch.from_numpy(field), sigma), wanted, atol=5e-5)
