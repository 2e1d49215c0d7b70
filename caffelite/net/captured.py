"""Passes of the fast plan without Python, but for the layers that read data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from .capture import Capture, Tensors

if TYPE_CHECKING:
    from .blob import Parameter
    from .fast import FastPlan
    from .steps import Table


class Seen(NamedTuple):
    """What a pass gave: its weighted loss, the values of the plan's outputs, and the gradients of parameters."""

    loss: torch.Tensor
    outputs: Tensors
    gradients: Sequence[torch.Tensor]


class Captured:
    """Makes the passes of a plan, captured (see :mod:`.capture`).

    Neither blobs nor parameters show anything of them before they are told to.

    Args:
        plan: all of its kernels are capturable.

    Attributes:
        learned: the parameters that gradients are for, as many as there are; whether each is in memory that is nobody
            else's.
    """

    def __init__(self, plan: FastPlan) -> None:
        self._plan, net = plan, plan.net
        self._forward, self._whole = Capture(), Capture()
        self._read = [index for turn in plan.reading for index in turn.step.writes]
        self._weights = list({id(blob.owner): blob.owner for row in net.rows for blob in row}.values())
        self.learned: list[tuple[Parameter, bool]] = []

    @property
    def settled(self) -> bool:
        """Whether passes forward and back are made without Python by now."""
        return self._whole.replay is not None

    def places(self) -> list[int] | None:
        """For each parameter of the net, which of the gradients is its own; None unless each has one, which may be
        written over."""
        there = {id(parameter): place for place, (parameter, own) in enumerate(self.learned) if own}
        if not len(there) == len(self.learned) == len(self._plan.net.parameters):
            return None
        return [there[id(parameter)] for parameter in self._plan.net.parameters]

    def forward(self) -> tuple[torch.Tensor, Tensors]:
        """A pass: its weighted loss, and the values of outputs."""
        table = self._plan.begin(backward=False)
        loss, *outputs = self._forward(self._inputs(table), lambda: self._computed(table))
        self._plan.net.run.position += 1
        assert loss is not None
        return loss, outputs

    def forward_backward(self) -> Seen:
        """A pass forward and back."""
        count = len(self._plan.outputs)
        table = self._plan.begin(backward=True)
        loss, *rest = self._whole(self._inputs(table), lambda: self._computed_whole(table))
        self._plan.net.run.position += 1
        return Seen(loss, rest[:count], rest[count:])  # type: ignore[arg-type]

    def show(self, seen: Seen) -> None:
        """Let blobs show the outputs, and add the gradients to those of the parameters."""
        self._plan.tell(seen.outputs)
        for (parameter, own), gradient in zip(self.learned, seen.gradients, strict=True):
            parameter.accumulate(gradient, own=own)

    def _inputs(self, table: Table) -> list[torch.Tensor]:
        """What a pass reads: what it begins with, and the weights."""
        places = [*self._plan.net.input_values.values(), *self._read]
        begun = [value for place in places if (value := table[place]) is not None]
        return [*begun, *(owner.tensor for owner in self._weights)]

    def _computed(self, table: Table) -> Tensors:
        loss, outputs = self._plan.compute(table, backward=False)
        return [loss, *outputs]

    def _computed_whole(self, table: Table) -> Tensors:
        loss, outputs = self._plan.compute(table, backward=True)
        learned: list[tuple[Parameter, torch.Tensor, bool]] = []
        self._plan.back(lambda *one: learned.append(one))
        self.learned = [(parameter, own) for parameter, _, own in learned]
        return [loss, *outputs, *(gradient for _, gradient, _ in learned)]
