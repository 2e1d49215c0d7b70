"""What the fast plan does one after the other, and where it may do with less memory or fewer turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ..layerkit.kernels import Kernel
from ..layerkit.kernels.rounded import RoundedKernel
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
    """The turns, with one in place of several where a kernel computes these in one (`Kernel.joined`), and nobody else
    reads what lies between.

    Args:
        kept: slots that somebody reads besides.
    """
    readers, result = _readers(turns), list[Turn]()
    for turn in turns:
        row = _leading_to(turn, result)
        found = turn.kernel.joined([one.kernel for one in row])
        if found is not None:
            chain = [*row[len(row) - found.before :], turn]
            between = {index for one in chain[:-1] for index in one.step.writes}
            alone = between.isdisjoint(kept) and all(readers[index] == 1 for index in between)
            if alone and _weights_known(chain):
                del result[-found.before :]
                turn = _as_one(chain, found.kernel, between)
        result.append(turn)
    return result


def _leading_to(turn: Turn, before: Sequence[Turn]) -> list[Turn]:
    """The turns right before one that each read what the one before them wrote, and nothing else; so does that one."""
    row = [turn]
    for one in reversed(before):
        if one.step.writes != row[0].step.reads:
            break
        row.insert(0, one)
    return row[:-1]


def _weights_known(chain: Sequence[Turn]) -> bool:
    """Whether the weights of turns can be given to one kernel: those of a single layer, or such as stay the same."""
    having = [one for one in chain if one.step.weights]
    return len(having) < 2 or not any(one.step.looks_up for one in having)


def _as_one(chain: Sequence[Turn], kernel: Kernel, between: set[int]) -> Turn:
    """One turn for several, whose weights are one behind the other."""
    first, last = chain[0], chain[-1]
    weights = [weight for one in chain for weight in one.step.weights]
    frees = [index for one in chain for index in one.step.frees if index not in between]
    step = replace(first.step, writes=last.step.writes, weights=weights, frees=frees)
    learning = [parameter for one in chain for parameter in one.learning]
    nodes = tuple(node for one in chain for node in one.nodes)
    return Turn(step, kernel, any(one.back for one in chain), learning, nodes)


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
