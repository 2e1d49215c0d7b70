"""What a net's weights look like from outside: blobs whose values are learned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..errors import UsageError
from ..layerkit import Shape
from ..layerkit.blob import Blob
from ..layerkit.mirror import Mirror


def _keep_shape(blob: Blob, shape: tuple[int, ...]) -> None:
    if tuple(shape) != blob.shape:
        raise UsageError(
            f"a weight of shape {blob.shape} cannot take shape {tuple(shape)}",
            help="its layer's settings make its shape; reshape a view of its data to look at it in another one",
        )


class Parameter(Blob):
    """A learnable blob: a leaf tensor and its gradient.

    Attributes:
        name: "layer/slot"; layer, slot: its parts.
        lr_mult, decay_mult: factors of the rate and of weight decay.
        tensor: the leaf tensor (float32; its memory may be channels_last).
        update: gives the update that was applied last, while `diff` has to show that instead of a gradient.
    """

    __slots__ = ("decay_mult", "layer", "lr_mult", "slot", "tensor", "update")

    def __init__(
        self, layer: str, slot: int, tensor: torch.Tensor, lr_mult: float = 1.0, decay_mult: float = 1.0
    ) -> None:
        super().__init__(tuple(tensor.shape), tensor.device)
        self.layer, self.slot = layer, slot
        self.tensor = tensor
        self.lr_mult, self.decay_mult = lr_mult, decay_mult
        self.data_mirror = Mirror(tensor.shape, tensor, fixed=True)
        self.update: Callable[[], torch.Tensor] | None = None

    @property
    def name(self) -> str:
        return f"{self.layer}/{self.slot}"

    @property
    def grad(self) -> torch.Tensor | None:
        """The gradient, summed since it was last cleared, in the tensor's memory format."""
        return self.tensor.grad

    @grad.setter
    def grad(self, value: torch.Tensor | None) -> None:
        self.tensor.grad = value
        self.update = None

    @property
    def diff(self) -> np.ndarray:
        """The gradient; after a solver's step, the update that was applied, as in the original."""
        self._show_update()
        if not self.diff_mirror.lent:
            self.diff_mirror.set(self.tensor.grad)
        return self.diff_mirror.array()

    @diff.setter
    def diff(self, values: np.ndarray) -> None:
        self.diff[...] = values

    def _show_update(self) -> None:
        if self.update is not None:
            self.grad = self.update()
            self.diff_mirror.set(self.tensor.grad)

    def reshape(self, *shape: int) -> None:
        _keep_shape(self, shape)

    @property
    def owner(self) -> Parameter:
        """The parameter that owns the memory: itself."""
        return self

    def accumulate(self, gradient: torch.Tensor) -> None:
        """Add a gradient (of any shape with as many elements) to this parameter's."""
        gradient = gradient.reshape(self.tensor.shape)
        if self.tensor.grad is None:
            self.tensor.grad = torch.empty_like(self.tensor).copy_(gradient)
        else:
            self.tensor.grad.add_(gradient)

    def pull(self) -> None:
        """Take in what was written to arrays people hold; where `diff` shows an update, that is what gradients are
        added to, as in the original."""
        self._show_update()
        if self.data_mirror.lent:
            self.data_mirror.tensor()
        if self.diff_mirror.lent:
            written = self.diff_mirror.tensor()
            if self.tensor.grad is None or self.tensor.grad.data_ptr() != written.data_ptr():
                self.tensor.grad = torch.empty_like(self.tensor).copy_(written)

    def push(self) -> None:
        """Show new values and gradients in arrays people hold."""
        self.data_mirror.refresh()
        if self.diff_mirror.lent:
            self._show_update()
            self.diff_mirror.set(self.tensor.grad)

    def clear(self) -> None:
        """Forget the gradient."""
        self.tensor.grad = None
        self.update = None
        if self.diff_mirror.lent:
            self.diff_mirror.set(None)

    def load(self, values: np.ndarray) -> None:
        """Take over values of the same number of elements."""
        with torch.no_grad():
            self.tensor.copy_(torch.from_numpy(np.ascontiguousarray(values, np.float32)).reshape(self.tensor.shape))
        self.data_mirror.refresh()


class SharedView(Blob):
    """Another layer's view of a shared parameter, in a shape of its own (share_mode: PERMISSIVE)."""

    __slots__ = ("owner",)

    def __init__(self, owner: Parameter, shape: Shape) -> None:
        super().__init__(shape, owner.tensor.device)
        self.owner = owner

    def reshape(self, *shape: int) -> None:
        _keep_shape(self, shape)

    @property
    def data(self) -> np.ndarray:
        return self.owner.data.reshape(self._shape)

    @data.setter
    def data(self, values: np.ndarray) -> None:
        self.data[...] = values

    @property
    def diff(self) -> np.ndarray:
        return self.owner.diff.reshape(self._shape)

    @diff.setter
    def diff(self, values: np.ndarray) -> None:
        self.diff[...] = values
