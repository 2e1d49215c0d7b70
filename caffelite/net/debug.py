"""`debug_info`: mean absolute values of everything that flows, as the original prints them.

Source: `Net::ForwardDebugInfo` and its siblings, `src/caffe/net.cpp`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..layerkit.watching import mean, say, say_bottom, say_top

if TYPE_CHECKING:
    from .net import Net


class Watcher:
    """Tells about each layer as the observed plan passes it."""

    def __init__(self, net: Net) -> None:
        self.net = net

    def __call__(self, pass_: str, index: int) -> None:
        (self._forward if pass_ == "forward" else self._backward)(index)

    def _display_name(self, index: int, slot: int) -> str:
        return self.net.graph.weights[self.net.graph.nodes[index].weights[slot]].share or str(slot)

    def _forward(self, index: int) -> None:
        net, node = self.net, self.net.graph.nodes[index]
        for blob in node.tops:
            say_top(node.name, blob, net.blobs[blob].data_mirror.tensor())
        for slot, row in enumerate(net.rows[index]):
            name = self._display_name(index, slot)
            say(f"[Forward] Layer {node.name}, param blob {name} data: {mean(row.owner.tensor)}", 605)

    def _backward(self, index: int) -> None:
        net, node = self.net, self.net.graph.nodes[index]
        for blob, needed in zip(node.bottoms, node.bottom_needs, strict=True):
            if needed:
                say_bottom(node.name, blob, net.blobs[blob].diff_mirror.tensor())
        for slot, row in enumerate(net.rows[index]):
            if net.graph.weights[node.weights[slot]].wanted:
                say(f"[Backward] Layer {node.name}, param blob {slot} diff: {mean(row.owner.grad)}", 632)

    def totals(self) -> None:
        """L1 and L2 norms over all parameters, after a backward."""
        data = [parameter.tensor.detach() for parameter in self.net.parameters]
        diff = [parameter.grad for parameter in self.net.parameters if parameter.grad is not None]
        l1 = [sum(float(tensor.abs().sum()) for tensor in tensors) for tensors in (data, diff)]
        l2 = [sum(float(tensor.square().sum()) for tensor in tensors) ** 0.5 for tensors in (data, diff)]
        say(
            f"[Backward] All net params (data, diff): L1 norm = ({l1[0]:.6g}, {l1[1]:.6g}); "
            f"L2 norm = ({l2[0]:.6g}, {l2[1]:.6g})",
            721,
            logging.ERROR,  # as the original has it
        )
