"""What a net's weights look like from outside: blobs whose values are learned."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

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
        tensor: the leaf tensor, which is that of the net as a torch module, too (float32; its memory may be
            channels_last).
        shown: the gradient that `diff` shows, so that another one in its place is noticed.
        update: gives the update that was applied last, while `diff` has to show that instead of a gradient.
    """

    __slots__ = ("_update", "_updated", "decay_mult", "layer", "lr_mult", "shown", "slot", "tensor")

    def __init__(
        self, layer: str, slot: int, tensor: torch.Tensor, lr_mult: float = 1.0, decay_mult: float = 1.0
    ) -> None:
        super().__init__(tuple(tensor.shape), tensor.device)
        self.layer, self.slot = layer, slot
        self.tensor: torch.Tensor = torch.nn.Parameter(tensor, requires_grad=False)
        self.lr_mult, self.decay_mult = lr_mult, decay_mult
        self.data_mirror = Mirror(tensor.shape, self.tensor, fixed=True)
        self.diff_mirror.fixed = True
        self.shown: torch.Tensor | None = None
        self.update = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """The same values without a gradient, as of a torch parameter."""
        self.pull()
        tensor = deepcopy(self.tensor, memo)
        twin = memo[id(self)] = Parameter(self.layer, self.slot, tensor, self.lr_mult, self.decay_mult)
        twin.become(tensor)
        return twin

    def become(self, tensor: torch.Tensor) -> None:
        """Have another leaf tensor, with its values and its gradient.

        Raises:
            UsageError: it is of another shape or type.
        """
        _keep_shape(self, tuple(tensor.shape))
        if tensor.dtype != torch.float32:
            raise UsageError(f"a weight cannot be {tensor.dtype}: a net computes in {torch.float32}")
        self.tensor = tensor
        self.data_mirror.device = self.diff_mirror.device = tensor.device
        self.data_mirror.set(tensor)
        self._show()

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
    def update(self) -> Callable[[], torch.Tensor] | None:
        return self._update

    @update.setter
    def update(self, give: Callable[[], torch.Tensor] | None) -> None:
        gradient = self.tensor.grad if give is not None else None
        self._update = give
        self._updated = (gradient, 0 if gradient is None else gradient._version)

    @property
    def diff(self) -> np.ndarray:
        """The gradient; after a solver's step, the update that was applied, as in the original."""
        self._exchange()
        return self.diff_mirror.array().view()

    @diff.setter
    def diff(self, values: np.ndarray) -> None:
        self.diff[...] = values

    def _show_update(self) -> None:
        if self._update is None:
            return
        gradient, version = self._updated
        if self.tensor.grad is None or self.tensor.grad is not gradient or gradient._version != version:
            self.update = None  # somebody has cleared the gradient, or begun another one
            return
        self.grad = self._update()
        self._show()

    def _show(self) -> None:
        """Let `diff` show the gradient as it is."""
        self.shown = self.tensor.grad
        self.diff_mirror.set(self.shown)

    def _exchange(self) -> None:
        """Take into the gradient what was written to `diff`, unless it was forgotten since, and show it there."""
        self._show_update()
        if self.diff_mirror.lent and self.tensor.grad is self.shown:
            written = self.diff_mirror.tensor()
            if self.tensor.grad is None and written.any():
                self.tensor.grad = torch.empty_like(self.tensor).copy_(written)
        self._show()

    def reshape(self, *shape: int) -> None:
        _keep_shape(self, shape)

    @property
    def owner(self) -> Parameter:
        """The parameter that owns the memory: itself."""
        return self

    def accumulate(self, gradient: torch.Tensor, *, own: bool = False) -> None:
        """Add a gradient (of any shape with as many elements) to this parameter's; with `own` it may become that."""
        tensor = self.tensor
        if gradient.shape != tensor.shape:
            gradient = gradient.reshape(tensor.shape)
        there = tensor.grad
        if there is not None:
            there.add_(gradient)
        elif own and gradient.stride() == tensor.stride():
            tensor.grad = gradient
        else:
            tensor.grad = torch.empty_like(tensor, requires_grad=False).copy_(gradient)

    def pull(self, *, adding: bool = True) -> None:
        """Take in what was written to arrays people hold.  With `adding`, gradients are going to be added: where `diff`
        shows an update, to that, as in the original."""
        if adding:
            self._show_update()
        if self.data_mirror.lent:
            self.data_mirror.tensor()
        if self.diff_mirror.lent:
            self._exchange()

    def push(self) -> None:
        """Show new values and gradients in arrays people hold."""
        self.data_mirror.refresh()
        if self.diff_mirror.lent:
            self._show_update()
            self._show()

    def clear(self) -> None:
        """Forget the gradient."""
        self.tensor.grad = None
        self.update = None
        if self.diff_mirror.lent:
            self._show()

    @property
    def lent(self) -> bool:
        """Whether somebody may hold an array of it."""
        return self.data_mirror.lent or self.diff_mirror.lent

    @property
    def memory(self) -> int:
        """Names the memory that the values lie in: the same for parameters that share theirs."""
        return id(self.data_mirror)

    def twin(self) -> Parameter:
        """A parameter with these values, in the same memory, and a gradient of its own."""
        twin = Parameter(self.layer, self.slot, self.tensor.detach(), self.lr_mult, self.decay_mult)
        twin.share(self)
        return twin

    def share(self, other: Parameter) -> None:
        """Have the values of another parameter of this shape, in its memory; the gradient stays its own."""
        if other is not self:
            self.tensor.data, self.data_mirror = other.tensor.data, other.data_mirror

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
