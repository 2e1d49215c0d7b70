"""What rules look at: a net in one phase, with its wires seen through Splits and in-place layers; a solver with its
nets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..data.telling import find, folder_of
from ..errors import Fault, Places
from ..graph import Graph, Node
from ..graph.gradients import flow
from ..layerkit import SourceLayer
from ..layerkit.fed import FedLayer
from ..proto import TEST, TRAIN

if TYPE_CHECKING:
    from ..solver import Settings

WITH_BIAS = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "InnerProduct": "inner_product_param",
}
"""Types with weights and, by `bias_term` of these settings, a bias."""


class Subject:
    """A net in one phase, as rules see it.

    Attributes:
        graph: the net; where its gradients flow is left open.
        role: "train" or "test" in a solver; "alone" where the net is checked by itself.
    """

    def __init__(self, graph: Graph, role: str = "alone") -> None:
        self.graph = graph
        self.role = role
        copied = {
            node.writes[index]: node.reads[0]
            for node in graph.nodes
            if node.type == "Split" and node.reads
            for index in range(len(node.writes))
        }
        self._copied = copied
        self.nodes: list[Node] = [node for node in graph.nodes if node.type != "Split"]
        self._makers = {value: node for node in self.nodes for value in node.writes}

    @property
    def training(self) -> bool:
        """Whether the net is in TRAIN."""
        return self.graph.phase == TRAIN

    def value(self, value: int) -> int:
        """The value that Splits copied, for one of theirs."""
        while value in self._copied:
            value = self._copied[value]
        return value

    def maker(self, value: int) -> Node | None:
        """The layer that made a value; None where none did."""
        return self._makers.get(self.value(value))

    def above(self, node: Node, position: int = 0) -> Node | None:
        """The layer behind a bottom of a layer."""
        return self.maker(node.reads[position]) if position < len(node.reads) and node.reads[position] >= 0 else None

    @cached_property
    def readers(self) -> dict[int, list[tuple[Node, int]]]:
        """By value, the layers that read it and the bottom each reads it as."""
        found: dict[int, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, value in enumerate(node.reads):
                if value >= 0:
                    found.setdefault(self.value(value), []).append((node, position))
        return found

    def below(self, node: Node) -> list[Node]:
        """The layers that read what a layer makes."""
        return [reader for value in node.writes for reader, _ in self.readers.get(value, [])]

    @cached_property
    def backward(self) -> set[str]:
        """The names of the layers through which gradients pass."""
        return {node.name for node in flow(self.graph).nodes if node.needs_backward}

    @cached_property
    def losses(self) -> list[Node]:
        """The layers with a loss weight; that of a Split behind one is its own."""
        weighted = []
        for node in self.graph.nodes:
            if any(node.loss_weights):
                maker = self.maker(node.reads[0]) if node.type == "Split" and node.reads else node
                weighted += [maker] if maker is not None and maker not in weighted else []
        return weighted

    def says(self, phase: int) -> bool:
        """Whether a layer is there for this phase by an `include`."""
        return any(rule.HasField("phase") and rule.phase == phase for n in self.nodes for rule in n.param.include)

    @property
    def trains(self) -> bool:
        """Whether this is a net to be trained, not one that merely can be built in TRAIN as well."""
        if not (self.training and self.losses) or self.role == "test":
            return False
        return self.role == "train" or self.says(TRAIN) or not self.says(TEST)

    @property
    def sources(self) -> list[Node]:
        """The layers that bring data in."""
        return [node for node in self.nodes if not node.bottoms and node.tops]

    @property
    def deployed(self) -> bool:
        """Whether the net is one to be used: fed by Input layers, without a loss."""
        return bool(self.graph.inputs) and not self.losses and all(n.type == "Input" for n in self.sources)

    def fed(self) -> Iterator[tuple[Node, FedLayer]]:
        """The layers whose data is at hand."""
        for node in self.sources:
            known = all(self.graph.values[value].shape is not None for value in node.writes)
            if isinstance(node.layer, FedLayer) and known and self._is_there(node.layer):
                yield node, node.layer

    @staticmethod
    def _is_there(layer: FedLayer) -> bool:
        holder, _, name = layer.source.partition(".")
        source = getattr(getattr(layer.param, holder), name, "") if name else ""
        return not isinstance(source, str) or find(source, folder_of(layer, layer.source)).exists()

    def weight_count(self, node: Node) -> int:
        """How many weights a layer has; of the commonest types also where shapes are not known."""
        settings = WITH_BIAS.get(node.type)
        if node.weights or settings is None:
            return len(node.weights)
        return 1 + bool(getattr(node.param, settings).bias_term)

    def learned(self, node: Node) -> bool:
        """Whether a layer has weights that learn."""
        specs = node.param.param
        if not node.weights:
            return any(slot >= len(specs) or specs[slot].lr_mult != 0 for slot in range(self.weight_count(node)))
        return any(
            self.graph.weights[index].lr_mult != 0 and spec.learned
            for index, spec in zip(node.weights, node.layer.weights if node.layer else (), strict=False)
        )

    def close(self) -> None:
        """Release the files that were looked into."""
        for node in self.graph.nodes:
            if isinstance(node.layer, SourceLayer):
                node.layer.close()


@dataclass(slots=True)
class Tested:
    """A test net of a solver, on how many batches it is tested, and which test_iter says so."""

    net: Subject
    batches: int
    index: int


@dataclass(slots=True)
class SolverSubject:
    """A solver, and its nets as far as they could be built."""

    settings: Settings
    message: Any
    places: Places
    train: Subject | None
    tests: Sequence[Tested] = field(default_factory=list)

    def warning(self, message: str, field: str, help: str | None = None) -> Fault:
        """A warning at a field of the solver."""
        return Fault(message, self.places(field), help, severity="warning")
