"""BatchNorm, and a factor and an offset for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ... import ops
from .base import Joined, Kernel, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ...ops.normalization import Found
    from ..run import Run


class Normalizing(Protocol):
    """What the kernel asks of a layer."""

    eps: float

    @property
    def collected(self) -> bool:
        """Whether mean and variance are those that were collected, not the batch's."""
        ...

    def so_far(self, statistics: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and variance that were collected."""
        ...

    def collect(self, statistics: Sequence[Tensor], mean: Tensor, variance: Tensor) -> None:
        """Add those of a batch."""
        ...


class _Kept(NamedTuple):
    x: Tensor
    factor: Tensor | None
    found: Found


class NormalizedKernel(Kernel):
    """y = (x − mean) / √(variance + eps) for each channel, and perhaps that times a factor plus an offset, weights of a
    layer behind it, which come after its own.

    Value by value it keeps x alone.

    Args:
        scaled_by: whether gradients of factor and offset are wanted; () without such a layer.
    """

    reads_tops = False
    capturable = True

    def __init__(
        self, wants: Sequence[bool], learns: Sequence[bool], layer: Normalizing, scaled_by: Sequence[bool] = ()
    ) -> None:
        super().__init__(wants, [*learns, *scaled_by])
        self.layer = layer
        self._own = len(learns)
        self._kept: _Kept | None = None

    def scaled_by(self, behind: ScaledKernel) -> NormalizedKernel | None:
        """This kernel and one behind it in one; None where there is one in it already."""
        if len(self.learns) > self._own:
            return None
        return NormalizedKernel(self.wants, self.learns, self.layer, behind.learns)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        x, statistics = bottoms[0], [weight.detach() for weight in weights[: self._own]]
        factor, offset = (*weights[self._own :], None, None)[:2]
        given = self.layer.so_far(statistics) if self.layer.collected else None
        y, found = ops.normalization.normalized(x, self.layer.eps, factor, offset, given)
        if given is None:
            self.layer.collect(statistics, found.mean, found.variance)
        self._kept = _Kept(x, factor, found) if keep else None
        return (y,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        assert self._kept is not None
        assert above[0] is not None
        x, factor, found = self._kept
        self._kept = None
        learns = (*self.learns[self._own :], False, False)
        wanted = self.wants[0], learns[0], learns[1]
        below, *learned = ops.normalization.gradients(above[0], x, self.layer.eps, factor, found, wanted)
        return (below,), [*[None] * self._own, *learned[: len(self.learns) - self._own]]

    def forget(self) -> None:
        self._kept = None


class ScaledKernel(Kernel):
    """y = x · factor + offset, a number for each channel, axis 1; perhaps without an offset."""

    reads_tops = False
    capturable = True

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool]) -> None:
        super().__init__(wants, learns)
        self._kept: tuple[Tensor, Tensor] | None = None

    def joined(self, before: Sequence[Kernel]) -> Joined | None:
        """With the normalization before it."""
        kernel = before[-1].scaled_by(self) if before and isinstance(before[-1], NormalizedKernel) else None
        return None if kernel is None else Joined(1, kernel)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        x = bottoms[0]
        shape = (-1, *[1] * (x.dim() - 2))
        factor = weights[0].reshape(shape)
        y = x * factor
        if len(weights) > 1:
            y += weights[1].reshape(shape)
        self._kept = (x, factor) if keep else None
        return (y,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        gradient = above[0]
        assert self._kept is not None
        assert gradient is not None
        x, factor = self._kept
        self._kept = None
        others = [axis for axis in range(x.dim()) if axis != 1]
        learned = [(gradient * x).sum(others) if self.learns[0] else None]
        if len(self.learns) > 1:
            learned.append(gradient.sum(others) if self.learns[1] else None)
        if not self.wants[0]:
            return (None,), learned
        return (gradient.mul_(factor) if owned else gradient * factor,), learned

    def forget(self) -> None:
        self._kept = None
