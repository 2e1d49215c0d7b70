"""The displayed loss is the mean of a window that slides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caffelite.solver import smoothing
from caffelite.solver.smoothing import SmoothedLoss


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40),
    st.integers(1, 8),
    st.sets(st.integers(0, 39)),
)
def test_it_is_the_mean_of_the_last_ones_whenever_one_looks(losses: list[float], window: int, looks: set[int]) -> None:
    smoothed = SmoothedLoss(window)
    for index, loss in enumerate(losses):
        smoothed.add(torch.tensor(loss))
        if index in looks or index == len(losses) - 1:
            wanted = np.mean(losses[max(0, index + 1 - window) : index + 1])
            assert smoothed.value() == pytest.approx(wanted, rel=1e-5, abs=1e-3)


def test_more_losses_than_are_kept_as_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "MOST_PENDING", 4)
    smoothed = SmoothedLoss(3)
    for loss in range(11):
        smoothed.add(torch.tensor(float(loss)))
    assert smoothed.value() == 9.0


def test_it_drifts_as_single_precision_does_in_the_original() -> None:
    # 1e8 swallows the 1 that is added to it, and its going leaves 0 behind, where a fresh mean would be 1.
    smoothed = SmoothedLoss(2)
    for loss in (1e8, 1.0, 1.0):
        smoothed.add(torch.tensor(loss))
    assert smoothed.value() == 0.0


def test_a_diverged_run_shows_nan_and_clearing_begins_anew() -> None:
    smoothed = SmoothedLoss(2)
    smoothed.add(torch.tensor(math.nan))
    assert math.isnan(smoothed.value())
    smoothed.clear()
    smoothed.add(torch.tensor(2.0))
    assert smoothed.value() == 2.0
