"""Where a net stands, taken down and put back: to make a pass again, or to leave no trace of having done so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .net import Net


class Moment:
    """What the next pass of a net depends on besides its input blobs: where data and chance stand, and what layers
    remember; if it is to be `whole`, copies of weights and gradients, too.

    Without those it costs next to nothing.  It waits for no device.
    """

    def __init__(self, net: Net, *, whole: bool = False) -> None:
        self.position = net.run.position
        self.remembered = [
            (node.layer, name, getattr(node.layer, name)) for node in net.graph.nodes for name in node.layer.remembers
        ]
        self.whole = whole
        if whole:
            self.weights = [parameter.tensor.detach().clone() for parameter in net.parameters]
            self.gradients = [None if one.grad is None else one.grad.clone() for one in net.parameters]
            self.updates = [parameter.update for parameter in net.parameters]

    def put_back(self, net: Net) -> None:
        """Let `net`, the one this was taken from or a double of it, stand there again."""
        net.run.position = self.position
        for layer, name, value in self.remembered:
            setattr(layer, name, value)
        if not self.whole:
            return
        kept = zip(net.parameters, self.weights, self.gradients, self.updates, strict=True)
        for parameter, weight, gradient, update in kept:
            # `.data`: an observed backward that saved these weights does not see them change, for they do not.
            parameter.tensor.data.copy_(weight)
            parameter.grad, parameter.update = gradient, update
        net.push()
