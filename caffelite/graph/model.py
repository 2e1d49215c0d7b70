"""What a net is before anything is computed: nodes, values, weights.  No torch.

A blob may be written several times (in-place layers), so what nodes read and write are *values*: a blob name and a
version.  `Graph.blobs` names the last value of each blob, which is what the original shows under that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..errors import Fault, GraphError, Places, Severity, did_you_mean

Shape = tuple[int, ...]


class LayerLike(Protocol):
    """What the graph asks of a layer (:class:`caffelite.layerkit.Layer` is one)."""

    type: Any
    bottoms: Any
    tops: Any
    same_count: Any
    loss: Any
    ungraded: Any
    assumes: Any
    weights: Any
    bottom_names: Any

    def warnings(self) -> Any: ...

    def setup(self, bottoms: Any) -> None: ...

    def shapes(self, bottoms: Any) -> Any: ...

    def raise_faults(self) -> None: ...


class Factory(Protocol):
    """Makes a layer of a LayerParameter; raises CaffeliteError for a type nobody knows."""

    def __call__(self, param: Any, phase: int, places: Places) -> LayerLike: ...


@dataclass(frozen=True, slots=True)
class Value:
    """One version of a blob; `shape` is None while it is not known."""

    blob: str
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight of one layer.

    Attributes:
        node, slot: the layer (its index) and which of its weights.
        shape, filler: as the layer declared them.
        share: the name it is shared under, or "".
        owner: index of the weight whose memory it uses; its own index where it owns it.
        lr_mult, decay_mult: factors of the rate and of weight decay (those of the owner count).
        wanted: a gradient is computed (lr_mult is not 0, or force_backward).
    """

    node: int
    slot: int
    shape: Shape
    filler: Any = None
    share: str = ""
    owner: int = -1
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """One layer in its place.

    Attributes:
        reads, writes: indices into `Graph.values`, parallel to `bottoms` and `tops`.
        weights: indices into `Graph.weights`.
        loss_weights: one per top; 0 where the top is no loss.
        needs_backward: the gradient passes through this layer; `bottom_needs` says to which bottoms.
        places: finds the places of the layer's fields in the prototxt.
    """

    index: int
    param: Any
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    places: Places
    layer: Any = None
    weights: tuple[int, ...] = ()
    loss_weights: tuple[float, ...] = ()
    needs_backward: bool = False
    bottom_needs: tuple[bool, ...] = ()

    @property
    def name(self) -> str:
        return str(self.param.name)

    @property
    def type(self) -> str:
        return str(self.param.type)

    def fault(
        self,
        message: str,
        field: str = "",
        help: str | None = None,
        *,
        code: str | None = None,
        severity: Severity = "error",
    ) -> Fault:
        """A fault of this layer, placed at one of its fields."""
        return Fault(message, self.places(field), help, self.name, self.type, severity, code)


@dataclass(frozen=True, slots=True)
class Graph:
    """A net after filtering: what is computed, in order, and what is known about it.

    Attributes:
        message: the NetParameter with the layers left (splits included) and its state.
        inputs: blobs of Input layers, in order; outputs: blobs nobody reads, in alphabetical order as in the original.
        warnings: what is odd but harmless.
    """

    message: Any
    nodes: tuple[Node, ...] = ()
    values: tuple[Value, ...] = ()
    weights: tuple[Weight, ...] = ()
    blobs: dict[str, int] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    warnings: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        return str(self.message.name)

    @property
    def phase(self) -> int:
        return int(self.message.state.phase)

    def shape(self, blob: str) -> Shape | None:
        """The shape of a blob, or None where it is unknown."""
        return self.values[self.blobs[blob]].shape

    def keeping(self, blobs: Iterable[str]) -> Graph:
        """The same net with these blobs among its outputs, so that they are there after every pass.

        Raises:
            GraphError: the net has no such blob; names the nearest.
        """
        wanted = dict.fromkeys(blobs)
        unknown = [blob for blob in wanted if blob not in self.blobs]
        if unknown:
            raise GraphError(Fault(f'the net has no blob "{blob}"', help=self._help_for(blob)) for blob in unknown)
        return replace(self, outputs=(*self.outputs, *(blob for blob in wanted if blob not in self.outputs)))

    def _help_for(self, blob: str) -> str:
        tops = dict.fromkeys(top for node in self.nodes if node.type != "Split" for top in node.tops)
        return did_you_mean(blob, tops) or f"it has: {', '.join(tops)}"

    def owners(self) -> list[int]:
        """Indices of the weights that own their memory, in order: Caffe's learnable parameters."""
        return [index for index, weight in enumerate(self.weights) if weight.owner == index]
