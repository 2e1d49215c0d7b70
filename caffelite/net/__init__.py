"""Graph → Net: memory, plans, gradients, weights."""

from .blob import Blob, Parameter, SharedView
from .net import Net
from .weights import Loaded

__all__ = ["Blob", "Loaded", "Net", "Parameter", "SharedView"]
