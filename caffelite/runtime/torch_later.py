"""torch, imported when something of it is first asked for: who reads, checks or draws nets need not wait for it.

`importlib.util.LazyLoader` is no way to that.  It puts a module that is not loaded yet where torch, while it is being
imported, looks for itself: in newer versions of Python (seen: 3.12.3, 3.13.5) deleting a name there does not end.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any


class Later(ModuleType):
    """A module by its name, with what was asked for of it so far."""

    def __getattr__(self, name: str) -> Any:
        vars(self)[name] = value = getattr(import_module(self.__name__), name)
        return value


if TYPE_CHECKING:
    import torch as torch
else:
    torch = Later("torch")
