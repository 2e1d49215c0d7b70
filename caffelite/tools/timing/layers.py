"""The times that layers took, and what they achieved in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING

from ...graph import Node
from ..summary import BYTES, activations, own_parameters
from .work import Work, backward_work, forward_work

if TYPE_CHECKING:
    from ...net import Net
    from .machine import Machine


@dataclass(frozen=True, slots=True)
class Pass:
    """A layer's forward or backward: milliseconds of each iteration, and the work done in them."""

    times: Sequence[float]
    work: Work

    @property
    def ms(self) -> float:
        """The median."""
        return median(self.times)

    @property
    def gflops(self) -> float | None:
        """10⁹ floating-point operations a second; None without matrix work."""
        return 2 * self.work.multiply_adds / self.ms / 1e6 if self.work.multiply_adds and self.ms else None

    @property
    def gbps(self) -> float | None:
        """10⁹ bytes a second; None with matrix work."""
        return self.work.bytes / self.ms / 1e6 if self.work.bytes and not self.work.multiply_adds and self.ms else None

    def of_peak(self, machine: Machine) -> float | None:
        """The share of what the machine does at most; None where there is nothing to do."""
        if self.gflops is not None:
            return self.gflops / machine.gflops
        return None if self.gbps is None else self.gbps / machine.gbps

    def cells(self, machine: Machine) -> tuple[str, str, str]:
        """Time, speed and share as text."""
        share, speed = self.of_peak(machine), ""
        if self.gflops is not None:
            speed = f"{self.gflops:.1f} GFLOP/s"
        elif self.gbps is not None:
            speed = f"{self.gbps:.1f} GB/s"
        return f"{self.ms:.3f}", speed, "" if share is None else f"{share:.0%}"

    def as_dict(self, machine: Machine) -> dict[str, float | int | None]:
        """For JSON."""
        return {
            "ms": self.ms,
            "mean_ms": mean(self.times),
            "multiply_adds": self.work.multiply_adds,
            "bytes": self.work.bytes,
            "gflops": self.gflops,
            "gbps": self.gbps,
            "of_peak": self.of_peak(machine),
        }


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """What a layer took.

    Attributes:
        backward: None where it needs none.
        tops, weights: bytes of its tops, and of the weights it owns.
    """

    name: str
    type: str
    how: str
    forward: Pass
    backward: Pass | None
    tops: int
    weights: int

    @property
    def ms(self) -> float:
        """Both ways."""
        return self.forward.ms + (self.backward.ms if self.backward else 0.0)


def layer_times(net: Net, spent: Mapping[str, Sequence[Sequence[float]]]) -> list[LayerTimes]:
    """The layers of a net behind a pass through its observed plan, in their order.

    Args:
        spent: milliseconds of "forward" and "backward", a list for each layer, with those of each iteration.
    """
    found = []
    for node in net.graph.nodes:
        work = forward_work(net.graph, node)
        forward = Pass(spent["forward"][node.index], Work(work.multiply_adds, 0) if _is_view(net, node) else work)
        backward = None
        if node.needs_backward:
            backward = Pass(spent["backward"][node.index], backward_work(net.graph, node))
        tops, weights = activations(net.graph, node), own_parameters(net.graph, node) * BYTES
        found.append(LayerTimes(node.name, node.type, how(net, node), forward, backward, tops, weights))
    return found


def how(net: Net, node: Node) -> str:
    """What was chosen for a layer: the memory order of its 4-d values, and how whole iterations compute it."""
    shapes = (net.graph.values[value].shape or () for value in (*node.reads, *node.writes))
    order = "channels_last" if net.channels_last else "contiguous"
    special = net.fast_plan.told().get(node.index, "")
    return ", ".join(filter(None, [order if any(len(shape) == 4 for shape in shapes) else "", special]))


def _is_view(net: Net, node: Node) -> bool:
    """Whether all of its tops lie in the memory of its bottoms without being them, so that nothing was moved."""

    def place(blob: str) -> int:
        return net.blobs[blob].data_mirror.tensor().untyped_storage().data_ptr()

    bottoms = {place(blob) for blob in node.bottoms}
    return all(blob not in node.bottoms and place(blob) in bottoms for blob in node.tops)


def busiest(layers: Sequence[LayerTimes], part: float = 0.9) -> list[LayerTimes]:
    """The fewest layers that take this part of the time, the slowest first."""
    total, found, taken = sum(layer.ms for layer in layers), list[LayerTimes](), 0.0
    for layer in sorted(layers, key=lambda layer: -layer.ms):
        if taken >= part * total:
            break
        found.append(layer)
        taken += layer.ms
    return found
