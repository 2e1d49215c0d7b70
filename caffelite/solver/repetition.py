"""The passes of an iteration, made again at other weights."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..net.moment import Moment

if TYPE_CHECKING:
    from torch import Tensor

    from .solver import Solver


class Repetition:
    """What a solver's net has just computed, again: of the same batches, with the same choices of chance, at the
    weights as they are when it is called.

    Loss and gradients are all that it leaves behind.  What the iteration left to the next one, such as the state of a
    recurrent layer or the statistics of BatchNorm, is that of the first time.

    Args:
        solver: has made an iteration's passes, and not yet its update.
        start: where its net stood before them.
        loss: that of then.
    """

    def __init__(self, solver: Solver, start: Moment, loss: Tensor) -> None:
        self.loss = loss
        self._solver, self._start = solver, start

    @cached_property
    def _double(self) -> Any:
        return self._solver.net.double()

    @cached_property
    def _still(self) -> list[tuple[Tensor, Tensor]]:
        """Weights that are not learned, and their values: a forward may write to some of them."""
        parameters = self._solver.net.parameters
        return [(one.tensor, one.tensor.detach().clone()) for one in parameters if not one.lr_mult]

    def __call__(self) -> Tensor:
        net, double, still = self._solver.net, self._double, self._still
        end = Moment(net)
        self._start.put_back(double)
        net.push()
        net.clear_gradients()
        try:
            loss = self._solver.accumulate(double)
            self._solver.tell_of_gradients()
            return loss
        finally:
            end.put_back(net)
            for weight, values in still:
                weight.data.copy_(values)
