"""Training: settings, rate policies, update rules, and the loop.

Names are imported on first use, so that reading and checking settings does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import Action as Action
    from .settings import Settings as Settings
    from .signals import Signals as Signals
    from .solver import Solver as Solver

_HOMES = {"Action": "events", "Settings": "settings", "Signals": "signals", "Solver": "solver"}

__all__ = ["Action", "Settings", "Signals", "Solver"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
