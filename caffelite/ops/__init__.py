"""Tensor in, tensor out: Caffe's arithmetic where torch's differs.  The modules need torch, so they are imported
when first used: ``from caffelite import ops; ops.pooling.max_pool(...)``."""

from __future__ import annotations

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"caffelite.ops has no module {name!r}") from error
