"""What the original kept per process: mode, device, random seed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import Fault
from ..layerkit import layers
from ..runtime import seeds
from ..runtime.device import choose
from . import telling

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class _State:
    gpu: int | None = None
    use_gpu: bool = False
    seed: int | None = None
    made: int = 0


_state = _State()
_log = logging.getLogger("caffelite")


def warn(fault: Fault) -> None:
    """Log what is odd about a file: a line of the log, unless somebody listens to Python's logging."""
    telling.attend()
    _log.log(logging.INFO if fault.severity == "note" else logging.WARNING, "%s", fault)


def set_mode_cpu() -> None:
    """Nets made from now on compute on the CPU."""
    _state.use_gpu = False


def set_mode_gpu() -> None:
    """Nets made from now on compute on the GPU that `set_device` named (0).

    Raises:
        DeviceError: there is no such device.
    """
    choose([_state.gpu or 0], True)
    _state.use_gpu = True


def set_device(gpu: int) -> None:
    """Which GPU `set_mode_gpu` means."""
    _state.gpu = gpu


def set_random_seed(seed: int) -> None:
    """Make the weights of the nets made from now on, and their draws, reproducible."""
    _state.seed, _state.made = seed, 0


def layer_type_list() -> list[str]:
    """The names of all layer types, in alphabetical order."""
    return layers.names()


def current_device() -> torch.device:
    """The device nets are made on."""
    return choose([_state.gpu or 0] if _state.use_gpu else None, False)[0]


def next_seed() -> int:
    """The seed of the next net: a function of the process's seed and how many nets were made since it was set."""
    if _state.seed is None:
        return seeds.fresh()
    _state.made += 1
    return seeds.derive(_state.seed, "net", _state.made)
