"""Solver settings that no recorded case uses and that are about many GPUs or which GPU."""

from __future__ import annotations

import pytest
import torch

from caffelite.errors import DeviceError
from caffelite.runtime import device

from .fakes import settings


def test_the_solver_names_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert device.choose(None, True, settings(device_id=2).device_id) == (torch.device("cuda", 2), None)
    assert device.choose(None, True, settings().device_id) == (torch.device("cuda", 0), None)
    with pytest.raises(DeviceError):
        device.choose(None, True, settings(device_id=3).device_id)


def test_a_gpu_named_for_a_solver_on_the_cpu_is_not_used() -> None:
    assert device.choose(None, False, settings(device_id=2).device_id) == (torch.device("cpu"), None)


def test_how_gradients_of_many_gpus_are_summed_changes_nothing_on_one() -> None:
    assert settings(layer_wise_reduce=False) == settings(layer_wise_reduce=True) == settings()
