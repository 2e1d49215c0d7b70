"""What the fast plan does one after the other, and where it may do with less memory or fewer turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from ..layerkit.kernels import Kernel
from ..layerkit.kernels.convolved import ConvolutionKernel
from ..layerkit.kernels.normalized import NormalizedKernel, ScaledKernel
from ..layerkit.kernels.pooled_convolution import PooledConvolutionKernel
from ..layerkit.kernels.rectified import ReLUKernel
from ..layerkit.kernels.rounded import RoundedKernel
from ..layerkit.kernels.windows import MaxPoolKernel
from .taped import TapedKernel

if TYPE_CHECKING:
    from ..graph import Node
    from .blob import Parameter
    from .steps import Step


@dataclass(slots=True)
class Turn:
    """One layer in a pass, or several that one kernel computes.

    Attributes:
        back: its backward is wanted.
        learning: for each weight the parameter that its gradient is added to; None where it has none.
        nodes: the layers, one behind the other.
    """

    step: Step
    kernel: Kernel
    back: bool
    learning: Sequence[Parameter | None]
    nodes: tuple[Node, ...]

    def told(self) -> Iterator[tuple[Node, str]]:
        """What is special about how each of its layers is computed."""
        first, *others = self.nodes
        ways = [f"with {' and '.join(node.name for node in others)}"] if others else []
        ways += ["bfloat16"] if isinstance(self.kernel, RoundedKernel) and self.kernel.kind == torch.bfloat16 else []
        ways += ["in place"] if self.kernel.overwrites else []
        ways += ["autograd"] if isinstance(self.kernel, TapedKernel) and self.back else []
        yield first, ", ".join(ways)
        for node in others:
            yield node, f"in {first.name}"


def _readers(turns: Sequence[Turn]) -> Counter[int]:
    return Counter(index for turn in turns for index in turn.step.reads)


def joined(turns: Sequence[Turn], kept: set[int] | frozenset[int]) -> list[Turn]:
    """The turns, with one in place of a convolution, its ReLU if there is one, and its maxima, or of a BatchNorm with
    its Scale, where nobody else reads what lies between.

    Args:
        kept: slots that somebody reads besides.
    """
    readers, result = _readers(turns), list[Turn]()
    for turn in turns:
        parts = [*_convolution_before(turn, result), *_normalization_before(turn, result)]
        between = {index for part in parts for index in part.step.writes}
        if parts and between.isdisjoint(kept) and all(readers[index] == 1 for index in between):
            del result[-len(parts) :]
            turn = _as_one([*parts, turn], between)
        result.append(turn)
    return result


def _convolution_before(turn: Turn, before: Sequence[Turn]) -> Sequence[Turn]:
    """The turns right before one of maxima that can be computed with it: a convolution, perhaps a ReLU; or none."""
    if not isinstance(turn.kernel, MaxPoolKernel):
        return ()
    count = 2 if before and isinstance(before[-1].kernel, ReLUKernel) else 1
    parts = before[-count:]
    chain = [*parts, turn]
    follow = all(one.step.writes == other.step.reads for one, other in pairwise(chain))
    plain = len(parts) == count and not any(one.kernel.rereads for one in chain)
    return parts if plain and follow and isinstance(parts[0].kernel, ConvolutionKernel) else ()


def _normalization_before(turn: Turn, before: Sequence[Turn]) -> Sequence[Turn]:
    """The turn right before one that scales, if that normalizes and can scale as well; or none."""
    if not isinstance(turn.kernel, ScaledKernel) or not before:
        return ()
    last = before[-1]
    plain = isinstance(last.kernel, NormalizedKernel) and len(last.nodes) == 1 and last.step.writes == turn.step.reads
    return [last] if plain and not last.step.looks_up and not turn.step.looks_up else ()


def _as_one(chain: Sequence[Turn], between: set[int]) -> Turn:
    """One turn for several whose weights lie one behind the other."""
    first, last = chain[0], chain[-1]
    weights = [weight for one in chain for weight in one.step.weights]
    frees = [index for one in chain for index in one.step.frees if index not in between]
    step = replace(first.step, writes=last.step.writes, weights=weights, frees=frees)
    learning = [parameter for one in chain for parameter in one.learning]
    nodes = tuple(node for one in chain for node in one.nodes)
    return Turn(step, _kernel([one.kernel for one in chain]), any(one.back for one in chain), learning, nodes)


def _kernel(kernels: Sequence[Kernel]) -> Kernel:
    """One kernel for a convolution, perhaps a ReLU, and maxima; or for a BatchNorm and its Scale."""
    first, last = kernels[0], kernels[-1]
    if isinstance(first, NormalizedKernel) and isinstance(last, ScaledKernel):
        return first.scaled_by(last)
    assert isinstance(first, ConvolutionKernel)
    assert isinstance(last, MaxPoolKernel)
    return PooledConvolutionKernel(first, last, rectified=len(kernels) > 2)


def rounded(turn: Turn) -> Kernel:
    """The kernel of a turn in a net that computes in bfloat16 where its layers can (`Layer.rounding`)."""
    ways = {node.layer.rounding for node in turn.nodes}
    if ways == {"as it comes"} and not isinstance(turn.kernel, TapedKernel):
        return turn.kernel
    return RoundedKernel(turn.kernel, torch.bfloat16 if "rounds" in ways else torch.float32)


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
