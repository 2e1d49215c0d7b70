"""What is drawn of a net: boxes of layers and the edges between them; nothing about where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ... import prototxt
from ...proto import LayerParameter
from .kinds import MISSING, Kind, kind_of
from .settings import LEARNING, rates, settings_of, when
from .shapes import Shapes, shown
from .text import clean
from .wiring import Top, Wiring

_MOST_TIP = 60
"""Lines of a tooltip."""


@dataclass(frozen=True, slots=True)
class Part:
    """One layer: its name, type and settings for the box, and its prototxt for whoever asks more."""

    name: str
    type: str
    kind: Kind
    settings: tuple[str, ...] = ()
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """A layer, and stacked in its box the layers that work in place on its blob.

    Attributes:
        ports: for each of its tops what is written where edges leave.
    """

    parts: tuple[Part, ...]
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """From a port of a box to a box; both by their index."""

    source: int
    port: int
    target: int


@dataclass(frozen=True, slots=True)
class Diagram:
    """A net as boxes and edges.  A box stands behind all that it reads from."""

    title: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]


def diagram(
    net: Any, wiring: Wiring, shapes: Shapes, *, title: str, conditions: bool = False, display_lrm: bool = False
) -> Diagram:
    """What is drawn of a net.

    Args:
        net: an upgraded NetParameter.
        conditions: tell when a layer is there at all.
        display_lrm: tell the rates of what layers learn.
    """
    build = _Builder(net, wiring, shapes, conditions, display_lrm)
    return Diagram(clean(title), *build.boxes_and_edges())


class _Builder:
    def __init__(self, net: Any, wiring: Wiring, shapes: Shapes, conditions: bool, display_lrm: bool) -> None:
        self.layers = net.layer
        self.wiring, self.shapes = wiring, shapes
        self.conditions, self.display_lrm = conditions, display_lrm
        self.drawn = sorted(wiring.reads)
        self.names = Counter(
            name for index in self.drawn for name in {spec.name for spec in net.layer[index].param if spec.name}
        )
        self.stacks: dict[int, list[int]] = {}
        """By the first layer of a box all its layers."""
        self.first: dict[int, int] = {}
        """By layer the first of its box."""

    def boxes_and_edges(self) -> tuple[tuple[Box, ...], tuple[Edge, ...]]:
        self.stack()
        missing = {
            blob: number
            for number, blob in enumerate(dict.fromkeys(blob for index in self.stacks for blob in self.unmade(index)))
        }
        place = {first: len(missing) + number for number, first in enumerate(self.stacks)}
        edges = dict.fromkeys(
            edge
            for first, box in place.items()
            for edge in (
                *(Edge(missing[blob], 0, box) for blob in self.unmade(first)),
                *(Edge(place[self.first[layer]], top, box) for layer, top in self.sources(first)),
            )
        )
        read = {(edge.source, edge.port) for edge in edges}
        ghosts = [Box((Part(clean(blob), "", MISSING),), ("",)) for blob in missing]
        boxes = [
            Box(
                tuple(self.part(index) for index in stack),
                tuple(self.label(first, top, (box, top) in read) for top, _ in enumerate(self.layers[first].top)),
            )
            for (first, stack), box in zip(self.stacks.items(), place.values(), strict=True)
        ]
        return (*ghosts, *boxes), tuple(edges)

    def stack(self) -> None:
        """Put layers that work in place into the box of the layer that made their blob."""
        for index in self.drawn:
            host = self.host(index)
            self.first[index] = index if host is None else self.first[host]
            self.stacks.setdefault(self.first[index], []).append(index)

    def host(self, index: int) -> int | None:
        """The layer on whose only top this one works in place, unless somebody else needs it as it was."""
        layer, reads = self.layers[index], self.wiring.reads[index]
        if len(layer.top) != 1 or list(layer.top) != list(layer.bottom) or len(reads[0]) != 1:
            return None
        ((below, _),) = reads[0]
        alone = (reads[0][0], index) not in self.wiring.shared
        return below if alone and len(self.layers[below].top) == 1 else None

    def unmade(self, index: int) -> Iterable[str]:
        """The bottoms of a layer that no layer makes."""
        reads = self.wiring.reads[index]
        return [blob for blob, tops in zip(self.layers[index].bottom, reads, strict=True) if not tops]

    def sources(self, index: int) -> Iterable[Top]:
        return (top for tops in self.wiring.reads[index] for top in tops)

    def part(self, index: int) -> Part:
        layer = self.layers[index]
        bottoms = [shape for tops in self.wiring.reads[index][:1] for top in tops for shape in self.shapes.get(top, ())]
        axes = max(1, len(bottoms[0]) - 2) if bottoms else 2
        settings = settings_of(layer, axes)
        if self.display_lrm and (layer.param or layer.type in LEARNING):
            settings.append(f"lr_mult {' '.join(f'{rate:g}' for rate in rates(layer))}")
        shared = list(dict.fromkeys(spec.name for spec in layer.param if self.names[spec.name] > 1))
        settings += [f"shares {' '.join(shared)}"] if shared else []
        settings += [when(layer)] if self.conditions and (layer.include or layer.exclude) else []
        return Part(
            clean(layer.name), clean(layer.type), kind_of(layer.type), tuple(map(clean, settings)), self.tip(index)
        )

    def tip(self, index: int) -> str:
        """The layer's prototxt: without learned values, with blobs as they are called in front of Splits."""
        alone = LayerParameter()
        alone.CopyFrom(self.layers[index])
        alone.ClearField("blobs")
        for position, tops in enumerate(self.wiring.reads[index]):
            if len(tops) == 1:
                alone.bottom[position] = self.layers[tops[0][0]].top[tops[0][1]]
        lines = [clean(line) for line in prototxt.dump(alone).split("\n")[:-1]]
        return "\n".join([*lines[:_MOST_TIP], *["…"] * (len(lines) > _MOST_TIP)])

    def label(self, first: int, top: int, read: bool) -> str:
        """The label of a top: the blob's name where it is not the layer's; its shape where the layer changed it."""
        layer = self.layers[first]
        names_itself = read and (len(layer.top) > 1 or layer.top[top] != layer.name)
        last = self.stacks[first][-1]
        shape = shown(self.shapes.get((last, 0) if last != first else (first, top), ()))
        before = [shown(self.shapes.get(made, ())) for made in self.sources(first)][:1]
        words = [layer.top[top]] * names_itself + [shape] * bool(shape and [shape] != before)
        return clean(" ".join(words))
