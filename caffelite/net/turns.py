"""What the fast plan does one after the other, and where it may do with less memory or fewer turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..layerkit.kernels import Kernel
from ..layerkit.kernels.convolved import ConvolutionKernel
from ..layerkit.kernels.pooled_convolution import PooledConvolutionKernel
from ..layerkit.kernels.rectified import ReLUKernel
from ..layerkit.kernels.windows import MaxPoolKernel

if TYPE_CHECKING:
    from .blob import Parameter
    from .steps import Step


@dataclass(slots=True)
class Turn:
    """One layer in a pass, or several that one kernel computes.

    Attributes:
        back: its backward is wanted.
        learning: for each weight the parameter that its gradient is added to; None where it has none.
    """

    step: Step
    kernel: Kernel
    back: bool
    learning: Sequence[Parameter | None] = field(default_factory=tuple)


def _readers(turns: Sequence[Turn]) -> Counter[int]:
    return Counter(index for turn in turns for index in turn.step.reads)


def joined(turns: Sequence[Turn], kept: set[int] | frozenset[int]) -> list[Turn]:
    """The turns, with one in place of a convolution, its ReLU if there is one, and its maxima, where nobody else reads
    what lies between.

    Args:
        kept: slots that somebody reads besides.
    """
    readers, result = _readers(turns), list[Turn]()
    for turn in turns:
        before = result[-1] if result else None
        if before is not None and isinstance(turn.kernel, MaxPoolKernel) and before.step.writes == turn.step.reads:
            rectified = isinstance(before.kernel, ReLUKernel) and not before.kernel.rereads and len(result) > 1
            first = result[-2] if rectified else before
            between = {*first.step.writes, *before.step.writes}
            alone = between.isdisjoint(kept) and all(readers[index] == 1 for index in between)
            follows = not rectified or first.step.writes == before.step.reads
            still = not (first.step.varies or turn.step.varies)
            if isinstance(first.kernel, ConvolutionKernel) and alone and follows and still:
                del result[-2 if rectified else -1 :]
                kernel = PooledConvolutionKernel(first.kernel, turn.kernel, rectified=rectified)
                frees = [index for one in (first, before, turn) for index in one.step.frees if index not in between]
                step = replace(first.step, writes=turn.step.writes, frees=frees)
                result.append(Turn(step, kernel, first.back, first.learning))
                continue
        result.append(turn)
    return result


def overwrite(turns: Sequence[Turn], kept: set[int] | frozenset[int]) -> None:
    """Let kernels compute into the memory of their bottoms where nobody else reads it, then or later.

    Args:
        kept: slots that somebody reads besides.
    """
    readers = _readers(turns)
    writer = {index: turn.kernel for turn in turns for index in turn.step.writes}
    for turn in turns:
        if turn.kernel.can_overwrite:
            (index,) = turn.step.reads
            made_by = writer.get(index)
            alone = readers[index] == 1 and index not in kept
            turn.kernel.overwrites = alone and made_by is not None and made_by.own_tops and not made_by.reads_tops
