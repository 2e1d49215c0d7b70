"""An array with two faces: the net's tensor, and the NumPy array people hold.

The original kept host and device memory in step by noting where the newest copy is (`SyncedMemory`,
`src/caffe/syncedmem.cpp`).  Here the tensor may lie on a GPU or in channels_last order while `array()` is always a
C-contiguous NumPy array.  An array that was handed out can be written at any time, through any view of it, so as long
as somebody holds it the net reads it before computing and refreshes it after.  Nobody holding one costs nothing.

Weights and their gradients are torch's, too: an optimizer, `zero_grad` or `backward` change them without telling
anybody.  So there, what was written to the array is what differs from what it held when the two were last in step, and
everything else is as the tensor has it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np

from .base import torch


class Mirror:
    """One float32 array of a net.

    Args:
        shape: its shape; () is a scalar.
        tensor: its values, where there are any (zeros are made when first needed otherwise).
        fixed: the tensor's memory is used by others too (a parameter), so writes go into it instead of replacing it,
            and others may write to it.
    """

    __slots__ = ("_array", "_host", "_lent", "_seen", "device", "fixed", "shape", "value")

    def __init__(
        self,
        shape: Sequence[int],
        tensor: torch.Tensor | None = None,
        *,
        device: torch.device | None = None,
        fixed: bool = False,
    ) -> None:
        self.shape = tuple(shape)
        self.value = tensor
        self.device = device or (tensor.device if tensor is not None else torch.device("cpu"))
        self.fixed = fixed
        self._host: torch.Tensor | None = None
        self._array: weakref.ref[np.ndarray] | None = None
        self._lent = False
        self._seen: torch.Tensor | None = None  # where `fixed`: what the array held when it was last in step

    def __deepcopy__(self, memo: dict[int, object]) -> Mirror:
        """The same values, with nobody holding an array of them."""
        value = self.tensor().detach().clone() if self.value is not None or self._lent else None
        return Mirror(self.shape, value, device=self.device, fixed=self.fixed)

    @property
    def lent(self) -> bool:
        """Whether an array was handed out that may have been written since the last `tensor()`."""
        return self._lent

    def _aliased(self) -> bool:
        return self._host is not None and self.value is not None and self._host.data_ptr() == self.value.data_ptr()

    def tensor(self) -> torch.Tensor:
        """The values as the net uses them, with everything written into a lent array taken in."""
        if self.value is None:
            with torch.inference_mode(False):
                self.value = torch.zeros(self.shape, device=self.device)
        if self._lent:
            if self._host is not None and not self._aliased():
                if self.fixed:
                    self._exchange()
                elif _dense(self.value):
                    # `.data`: a backward that saved the tensor is to see what was written, as the original's does.
                    self.value.data.copy_(self._host)
                else:
                    self.value = self._host.clone()
            if self._array is None or self._array() is None:
                self._let_go()
        return self.value

    def _exchange(self) -> None:
        """Take in what was written to the array, and show there what else has become of the tensor."""
        host, value = self._host, self.value
        assert host is not None
        assert value is not None
        if self._seen is not None:  # else the tensor has got other memory than the array's just now
            written = host.view(torch.int32) != self._seen.view(torch.int32)
            if written.any():
                value.data.copy_(torch.where(written, host, value.data.to(host.device)))
        host.copy_(value.data)
        self._in_step()

    def _in_step(self) -> None:
        self._seen = self._host.clone() if self._host is not None and self.fixed and not self._aliased() else None

    def _let_go(self) -> None:
        self._host = self._array = self._seen = None
        self._lent = False

    def set(self, tensor: torch.Tensor | None) -> None:
        """New values (None: zeros); an array somebody holds shows them at once."""
        held = self._array() if self._array is not None else None
        if held is None or self._host is None:
            self._let_go()
        elif tensor is None:
            self._host.zero_()
        elif tensor.data_ptr() != self._host.data_ptr():
            self._host.copy_(tensor.detach())
        self.value = tensor
        self._in_step()

    def drop(self) -> None:
        """Forget the values, unless somebody holds an array of them."""
        if self._array is None or self._array() is None:
            self.set(None)

    def to(self, device: torch.device) -> None:
        """Let the values lie on another device; an array somebody holds goes on showing them."""
        if self.value is not None or self._lent:
            self.value = self.tensor().to(device)
        self.device = device

    def refresh(self) -> None:
        """The tensor was changed in place (an update): show it in an array somebody holds."""
        if self._host is not None:
            self.set(self.value)

    def array(self) -> np.ndarray:
        """The values as a C-contiguous float32 NumPy array of the declared shape; writing to it writes the net."""
        if self.fixed:
            self.tensor()
        held = self._array() if self._array is not None else None
        if held is not None:
            self._lent = True
            return held
        value = self.tensor().detach()
        with torch.inference_mode(False):  # whoever asks within it may go on outside
            self._host = value if value.device.type == "cpu" and value.is_contiguous() else value.cpu().contiguous()
        array = self._host.numpy()
        self._array = weakref.ref(array)
        self._lent = True
        self._in_step()
        return array

    def reshape(self, shape: Sequence[int]) -> None:
        """Another shape; the values stay in their order, and are lost when there are to be more."""
        shape = tuple(shape)
        if shape == self.shape:
            return
        old = self.tensor() if self.value is not None or self._lent else None
        self._let_go()
        count = int(np.prod(shape, dtype=np.int64))
        self.value = old.reshape(-1)[:count].reshape(shape) if old is not None and old.numel() >= count else None
        self.shape = shape


def _dense(tensor: torch.Tensor) -> bool:
    """Whether each element has a place of its own, without gaps."""
    return tensor.is_contiguous() or (tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
