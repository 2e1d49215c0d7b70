"""Names of the original's extension module, `caffe._caffe`, for scripts that ask for the types it has.

Its lists are lists here; what is not named below is as in the package.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..layerkit.blob import Blob as Blob
from ..layerkit.python_layer import Blobs as BlobVec
from .solver import SGDSolver as Solver

__all__ = ["Blob", "BlobVec", "RawBlobVec", "Solver"]

RawBlobVec = NetVec = LayerVec = StringVec = IntVec = DtypeVec = BoolVec = list


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module(__package__), name)
