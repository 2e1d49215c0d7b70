"""The passes of an iteration, made again at other weights."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..net.moment import Moment

if TYPE_CHECKING:
    from torch import Tensor

    from .solver import Solver


class Collected:
    """What the forwards of a net have collected in weights that are not learned, as it is now."""

    def __init__(self, net: Any) -> None:
        found = {
            id(blob.owner): blob.owner.tensor
            for node, row in zip(net.graph.nodes, net.rows, strict=True)
            for blob in row
            if node.layer.collects and not blob.owner.lr_mult
        }
        self._values = [(tensor, tensor.detach().clone()) for tensor in found.values()]

    def put_back(self) -> None:
        """Let these weights have the values of then again."""
        for tensor, values in self._values:
            tensor.data.copy_(values)


class Begun:
    """An iteration that has begun: where its net stood before.

    Args:
        net: the net.
        collected: take down what forwards collect, too; needless where nothing can be collected before an error.

    Attributes:
        moment: where it stood, but for what forwards collect.
    """

    def __init__(self, net: Any, *, collected: bool) -> None:
        self.moment = Moment(net)
        self._net, self._collected = net, Collected(net) if collected else None

    def undo(self) -> None:
        """Let the net stand there again."""
        self.moment.put_back(self._net)
        if self._collected is not None:
            self._collected.put_back()


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
    def _collected(self) -> Collected:
        return Collected(self._solver.net)

    def __call__(self) -> Tensor:
        net, double, collected = self._solver.net, self._double, self._collected
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
            collected.put_back()
