"""What a kernel is: a layer's forward and backward as the fast plan runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Run

Tensors = Sequence["Tensor | None"]


class Joined(NamedTuple):
    """One kernel in place of another and so many before it, with the weights of all of them one behind the other."""

    before: int
    kernel: Kernel


class Kernel:
    """One layer's work in a plan: `forward`, and then perhaps `backward`, which uses up what the forward kept.

    No autograd is involved, so that nothing is recorded, and memory that nobody needs any more can be written over.
    Values are those of `Layer.forward` and autograd, but for the order of sums.

    Args:
        wants: for each bottom, whether its gradient is wanted.
        learns: for each weight, whether its gradient is wanted.

    Attributes:
        reads_tops: backward reads the tops as forward gave them, so nobody may write over them.
        own_tops: its tops lie in memory that is nobody else's.
        own_gradients: so do the gradients that it gives; the plan may write over them then.
        capturable: in passes of the same shapes it calls the same operators with the same numbers: nothing depends on
            values, on chance but for what it `draws`, or on how many passes there were.  A plan may take them down
            then, and do without Python.
        draws: gives what chance decides in a pass; a plan asks for it before the pass, and puts it into `drawn`.  None:
            nothing is left to chance.
        overwrites: forward may compute into the memory of its only bottom.  A plan that allows it sets it.
        can_overwrite: it makes use of that.
        seen: what lies in the layer's blob by now, where its backward is to read that instead of what forward gave
            (`Layer.rereads`); a plan sets it before backward.
        rereads: a plan will.
    """

    reads_tops: bool = True
    own_tops: ClassVar[bool] = True
    own_gradients: ClassVar[bool] = True
    can_overwrite: ClassVar[bool] = False
    capturable: bool = False
    overwrites = False
    rereads = False
    seen: Tensor | None = None
    draws: Callable[[Run], Tensor] | None = None
    drawn: Tensor | None = None

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool]) -> None:
        self.wants, self.learns = tuple(wants), tuple(learns)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        """The tops, as `Layer.forward` gives them.  With `keep`, a backward follows."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        """The gradients of bottoms and of weights, None where one is not wanted.

        Args:
            above: those of the tops; None where there is none (at least one is there).
            owned: whether that of the first top may be written over.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def joined(self, before: Sequence[Kernel]) -> Joined | None:
        """This kernel with some of those right before it in one; None where that is nothing.

        Args:
            before: kernels each of which reads what the one before it gives, and nothing else.  So does this one.
        """
        return None

    def forget(self) -> None:
        """Let go of what forward kept, as nobody asks for a backward."""
