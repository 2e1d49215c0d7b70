"""Work on tensors that is the same each time, taken down and then done without Python; on a GPU as a CUDA graph.

Beneath Python a pass of a net is a row of torch's operators, and where shapes stay and no layer decides by values,
always the same one.  In small nets what lies between operators takes as long as they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .graphed import Graphed
from .recording import Function, Recorder, Row, function

Tensors = Sequence[torch.Tensor | None]

_ORDINARY, _FIRST, _SECOND, _NEVER = range(4)
"""What the next time is: in Python, taken down, taken down again; or in Python for good."""


class Capture:
    """Does some work whenever it is called: once in Python, so that what is made once is there, twice while its
    operators are taken down, and from then on without Python.

    It gives that up, and stays with Python, where the operators differ between the two times or may differ the next
    one, where inputs change their shapes, and after an error, which the work itself tells of better.

    Args:
        stay: so many of the last inputs are always the same, and hold other values at most.

    Attributes:
        replay: the work as a function of its inputs, once there is one.
        row, shapes: its operators, and those of the inputs that are not always the same, then.
        lends: results are lent, until the next time.
    """

    def __init__(self, stay: int = 0) -> None:
        self.replay: Function | None = None
        self.lends = False
        self._stay = stay
        self._next = _ORDINARY
        self.row: Row | None = None
        self.shapes: list[torch.Size] = []

    def __call__(self, inputs: Sequence[torch.Tensor], work: Callable[[], Tensors]) -> Tensors:
        """The results of the work.

        Args:
            inputs: the tensors it reads that may be others the next time, always in this order.
            work: does it in Python.  Its results depend on nothing but the inputs, and on tensors that stay the same.
        """
        if self.replay is not None:
            if [one.shape for one in inputs[: len(inputs) - self._stay]] == self.shapes:
                try:
                    return self.replay(inputs)
                except RuntimeError:
                    pass
            self._give_up()
        if self._next in (_FIRST, _SECOND):
            return self._taken_down(inputs, work)
        if self._next == _ORDINARY:
            self._next = _FIRST
        return work()

    def _taken_down(self, inputs: Sequence[torch.Tensor], work: Callable[[], Tensors]) -> Tensors:
        with Recorder(inputs) as recorder:
            results = work()
        row = recorder.row(results)
        if row is None or (self._next == _SECOND and row != self.row):
            self._give_up()
        elif self._next == _FIRST:
            self.row, self._next = row, _SECOND
        else:
            self.shapes = [one.shape for one in inputs[: len(inputs) - self._stay]]
            self._next = _NEVER
            self.replay = self._made(function(row, len(inputs)), inputs)
        return results

    def _made(self, replay: Function | None, inputs: Sequence[torch.Tensor]) -> Function | None:
        self.lends = replay is not None and any(one.is_cuda for one in inputs)
        return Graphed(replay, self._stay) if replay is not None and self.lends else replay

    def _give_up(self) -> None:
        self.replay, self.row, self._next, self.lends = None, None, _NEVER, False
