"""Passes of the fast plan without Python, but for the layers that read data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import ref

import torch

from ..errors import CaffeliteError, Fault
from .capture import Capture, Tensors
from .recording import Function, Given, Made, Row, function
from .splicing import Insertion, spliced

if TYPE_CHECKING:
    from .blob import Parameter
    from .fast import FastPlan
    from .steps import Table


_AHEAD, _AHEAD_BYTES = 8, 4 << 20
"""Passes that are begun at once, and bytes that they begin with."""


class Seen(NamedTuple):
    """What a pass gave: its weighted loss, the values of the plan's outputs, and the gradients of parameters.  All but
    the loss may be other values when the next one is made."""

    loss: torch.Tensor
    outputs: Tensors
    gradients: Sequence[torch.Tensor]


class Following(NamedTuple):
    """How a parameter follows from its gradient.

    Attributes:
        row: operators whose inputs are weight, gradient and history.
        history: tensors that stay the same.
        number, numbers: the place of the first of its numbers among those of all parameters, and how many they are.
    """

    row: Row
    history: Sequence[torch.Tensor]
    number: int
    numbers: int


class Captured:
    """Makes the passes of a plan, captured (see :mod:`.capture`).

    Neither blobs nor parameters show anything of them before they are told to.

    Args:
        plan: all of its kernels are capturable.

    Attributes:
        learned: the parameters that gradients are for, as many as there are; whether each has the parameter's shape and
            is in memory that is nobody else's.
    """

    def __init__(self, plan: FastPlan) -> None:
        self._of, net = ref(plan), plan.net
        self._beginnings = [*net.input_values.values(), *(index for turn in plan.reading for index in turn.step.writes)]
        self._beginnings += [slot for slot, _ in plan.drawing]
        self._weights = list({id(blob.owner): blob.owner for row in net.rows for blob in row}.values())
        # Whether a layer works in place on what passes begin with, so that the next begins where one ended.
        self._leads_on = any(net.graph.blobs[blob] != value for blob, value in net.input_values.items())
        self._forward, self._whole = Capture(len(self._weights)), Capture(len(self._weights))
        self.learned: list[tuple[Parameter, bool]] = []

    @property
    def _plan(self) -> FastPlan:
        plan = self._of()  # which holds this: what a graph keeps on a GPU is free as soon as nobody has the plan
        assert plan is not None
        return plan

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

    def with_updates(self, updates: Sequence[Following]) -> Iterations | None:
        """What makes passes forward and back and, as soon as a gradient is there, the update of its parameter; None
        where passes are made in Python, torch lacks the means, or a graph would keep the first numbers for good.

        Args:
            updates: for each parameter of the net.
        """
        row, places = self._whole.row, self.places()
        if row is None or places is None or self._whole.lends:
            return None
        gradients = row.results[1 + len(self._plan.outputs) :]
        weights = {id(owner): Given(self._begun + index) for index, owner in enumerate(self._weights)}
        history: list[torch.Tensor] = []
        insertions = []
        for parameter, place, update in zip(self._plan.net.parameters, places, updates, strict=True):
            if not isinstance(gradients[place], Made):
                return None
            first = self._begun + len(self._weights) + len(history)
            slots = [Given(first + index) for index in range(len(update.history))]
            given = [weights[id(parameter)], gradients[place], *slots]
            insertions.append(Insertion(update.row, given, update.number))
            history += update.history
        inputs = self._begun + len(self._weights) + len(history)
        numbers = max((update.number + update.numbers for update in updates), default=0)
        replay = function(spliced(row, insertions), inputs, numbers)
        return None if replay is None else Iterations(self, replay, history)

    @property
    def _begun(self) -> int:
        """How many inputs there are before the weights."""
        return len(self._whole.shapes)

    def begin(self) -> tuple[Table, list[torch.Tensor]]:
        """The values that a pass forward and back begins with, and all that it reads."""
        table = self._plan.begin(backward=True)
        return table, self._inputs(table)

    def seen(self, results: Tensors) -> Seen:
        """What a pass forward and back gave, which counts as made now."""
        count = 1 + len(self._plan.outputs)
        self._plan.net.run.position += 1
        return Seen(_kept(results[0], self._whole), results[1:count], results[count:])  # type: ignore[arg-type]

    def explain(self, table: Table, error: RuntimeError) -> CaffeliteError:
        """What to tell of an error of torch's in a pass: what a layer says to it, if it can be found."""
        try:
            self._plan.compute(table, backward=False)
        except CaffeliteError as found:
            return found
        return CaffeliteError(Fault(f"cannot compute an iteration: {str(error).strip().splitlines()[-1]}"))

    def forward(self) -> tuple[torch.Tensor, Tensors]:
        """A pass: its weighted loss, and the values of outputs, which may be others when the next one is made."""
        made = self._made(self._plan.begin(backward=False))
        self._plan.net.run.position += 1
        return made

    def ahead(self, most: int) -> int:
        """How many passes forward, `most` at most, `forwards` would make at once: several where they are made without
        Python and begin with little."""
        if self._forward.replay is None or self._leads_on:
            return 1
        size = sum(shape.numel() for shape in self._forward.shapes) * torch.float32.itemsize
        return max(1, min(most, _AHEAD, _AHEAD_BYTES // max(1, size)))

    def forwards(self, count: int) -> list[tuple[torch.Tensor, Tensors]]:
        """`forward` so many times, or as often as can be begun; results stay.  What all begin with is made first,
        while the code that makes it is in the caches."""
        tables: list[Table] = []
        for _ in range(count):
            try:
                tables.append(self._plan.begin(backward=False))
            except CaffeliteError:
                if not tables:
                    raise
                break  # it is an error again when it is the first
            self._plan.net.run.position += 1
        made: list[tuple[torch.Tensor, Tensors]] = []
        for table in tables:
            loss, outputs = self._made(table)
            if self._forward.lends:
                outputs = [one if one is None else one.clone() for one in outputs]
            made.append((loss, outputs))
        return made

    def _made(self, table: Table) -> tuple[torch.Tensor, Tensors]:
        """A pass forward that has begun."""
        loss, *outputs = self._forward(self._inputs(table), partial(self._computed, table))
        return _kept(loss, self._forward), outputs

    def forward_backward(self) -> Seen:
        """A pass forward and back."""
        table, inputs = self.begin()
        return self.seen(self._whole(inputs, partial(self._computed_whole, table)))

    def show(self, seen: Seen) -> None:
        """Let blobs show the outputs, and add the gradients to those of the parameters."""
        self._plan.tell(seen.outputs)
        lent = self._whole.lends
        for (parameter, own), gradient in zip(self.learned, seen.gradients, strict=True):
            parameter.accumulate(gradient, own=own and not lent)

    def _inputs(self, table: Table) -> list[torch.Tensor]:
        """What a pass reads: what it begins with, and the weights."""
        begun = [value for place in self._beginnings if (value := table[place]) is not None]
        return [*begun, *(owner.tensor for owner in self._weights)]

    def _computed(self, table: Table) -> Tensors:
        loss, outputs = self._plan.compute(table, backward=False)
        return [loss, *outputs]

    def _computed_whole(self, table: Table) -> Tensors:
        loss, outputs = self._plan.compute(table, backward=True)
        learned: list[tuple[Parameter, torch.Tensor, bool]] = []
        self._plan.back(lambda *one: learned.append(one))
        self.learned = [(one, own and gradient.shape == one.tensor.shape) for one, gradient, own in learned]
        return [loss, *outputs, *(gradient for _, gradient, _ in learned)]


def _kept(loss: torch.Tensor | None, capture: Capture) -> torch.Tensor:
    """The loss of a pass, as it stays when the next one is made."""
    assert loss is not None
    return loss.clone() if capture.lends else loss


class Iterations:
    """Passes forward and back with an update of each parameter.

    Args:
        captured: makes such passes without updates.
        replay: makes them with these, of what a pass reads, the history, and numbers.
        history: of all parameters.
    """

    def __init__(self, captured: Captured, replay: Function, history: Sequence[torch.Tensor]) -> None:
        self._captured, self._replay, self._history = captured, replay, list(history)

    def __call__(self, numbers: Sequence[float]) -> Seen:
        """An iteration with these numbers.

        Raises:
            CaffeliteError: something cannot be computed.  If a layer is named, no weight has changed.
        """
        table, inputs = self._captured.begin()
        try:
            results = self._replay([*inputs, *self._history], numbers)
        except RuntimeError as error:
            raise self._captured.explain(table, error) from error
        return self._captured.seen(results)
