"""What layers compute where their gradients are written out, without a tape: a file for each kind of work."""

from .base import Joined, Kernel, Tensors

__all__ = ["Joined", "Kernel", "Tensors"]
