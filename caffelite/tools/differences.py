"""Where two files differ: nets layer by layer, weights array by array, solvers setting by setting.

`differences(old, new)` compares messages and gives the fields that differ; `net_changes` pairs the layers of two nets
by name and order first.  `weight_changes` compares arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from math import sqrt
from typing import Any, Literal

import numpy as np
from google.protobuf.message import Message

from ..graph import Graph
from ..prototxt import dump
from ..snapshot import Weights

What = Literal["only in the first", "only in the second", "changed", "same"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A field that differs; a side is None where it is not given there."""

    path: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        return f"{self.path}: {'(not given)' if self.old is None else self.old} → " + (
            "(not given)" if self.new is None else self.new
        )


@dataclass(frozen=True, slots=True)
class LayerChange:
    """What became of a layer.

    Attributes:
        settings: the fields that differ.
        shapes: tops whose shapes differ though nothing in the layer itself need have changed.
    """

    name: str
    type: str
    what: What
    settings: tuple[Setting, ...] = ()
    shapes: tuple[str, ...] = ()


def differences(old: Message, new: Message, prefix: str = "") -> Iterator[Setting]:
    """The fields in which two messages of one type differ, in the order of the schema."""
    for descriptor in old.DESCRIPTOR.fields:
        name = descriptor.name
        path = f"{prefix}{name}"
        before, after = getattr(old, name), getattr(new, name)
        if hasattr(before, "extend"):
            yield from _in_list(path, list(before), list(after), descriptor)
        elif descriptor.message_type is not None:
            if old.HasField(name) or new.HasField(name):
                yield from differences(before, after, f"{path}.")
        elif before != after:
            yield Setting(path, _shown(old, name), _shown(new, name))


def _in_list(path: str, old: Sequence[Any], new: Sequence[Any], descriptor: Any) -> Iterator[Setting]:
    if descriptor.message_type is None:
        if old != new:
            yield Setting(path, _listed(old), _listed(new))
        return
    for index in range(max(len(old), len(new))):
        before = old[index] if index < len(old) else type(new[index])()
        after = new[index] if index < len(new) else type(old[index])()
        found = list(differences(before, after, f"{path}[{index}]."))
        if not found and len(old) != len(new) and index >= min(len(old), len(new)):
            found = [Setting(f"{path}[{index}]", *(("{ }", None) if index < len(old) else (None, "{ }")))]
        yield from found


def _listed(values: Sequence[Any]) -> str | None:
    return ", ".join(f'"{value}"' if isinstance(value, str) else f"{value:g}" for value in values) or None


def _shown(message: Message, name: str) -> str:
    """A value as prototxt shows it; a default says that it is one."""
    given = message.HasField(name)
    copy = type(message)()
    setattr(copy, name, getattr(message, name))
    text = dump(copy).partition(": ")[2].rstrip("\n")
    return text if given else f"{text} (by default)"


def net_changes(old: Any, new: Any, graphs: tuple[Graph, Graph] | None = None) -> list[LayerChange]:
    """What became of each layer on the way from one net to the other.

    Layers are paired by name; of several with one name, and where none has a name, by their order.

    Args:
        old, new: NetParameters of today's form, with the layers that are to be compared.
        graphs: both nets with their shapes, to tell tops that have other shapes.
    """
    before, after = _keys(old.layer), _keys(new.layer)
    shapes = (_shapes(graphs[0]), _shapes(graphs[1])) if graphs else ({}, {})
    changes = []
    for key in _merged(list(before), list(after)):
        one, other = before.get(key), after.get(key)
        if one is None or other is None:
            there = one if one is not None else other
            what: What = "only in the first" if other is None else "only in the second"
            changes.append(LayerChange(there.name, there.type, what))  # type: ignore[union-attr]
            continue
        settings = tuple(differences(one, other))
        sizes = tuple(_resized(other.top, *shapes))
        changes.append(LayerChange(other.name, other.type, "changed" if settings or sizes else "same", settings, sizes))
    return changes


def _keys(layers: Sequence[Any]) -> dict[tuple[str, int], Any]:
    keys: dict[tuple[str, int], Any] = {}
    for layer in layers:
        number = 0
        while (layer.name, number) in keys:
            number += 1
        keys[layer.name, number] = layer
    return keys


def _merged(old: list[Any], new: list[Any]) -> list[Any]:
    """Both lists as one, each in its order; what is in both stands where the second has it."""
    merged = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag in ("delete", "replace"):
            merged += [key for key in old[i1:i2] if key not in new]
        if tag != "delete":
            merged += new[j1:j2]
    return merged


def _shapes(graph: Graph) -> dict[str, Any]:
    return {blob: graph.shape(blob) for blob in graph.blobs}


def _resized(tops: Sequence[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for top in tops:
        before, after = old.get(top), new.get(top)
        if before is not None and after is not None and before != after:
            yield f"{top} is {by(before)} → {by(after)}"


def by(shape: Sequence[int]) -> str:
    """A shape for people: "64x1x28x28"."""
    return "x".join(map(str, shape)) or "scalar"


# -- weights ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArrayChange:
    """How two arrays of weights differ.

    Attributes:
        shapes: of both; None where a file has no such array.
        largest: of the absolute differences.
        relative: root of the summed squares of the differences, in proportion to that of the first array.
        at: index of the largest difference.
    """

    layer: str
    slot: int
    shapes: tuple[tuple[int, ...] | None, tuple[int, ...] | None]
    largest: float = 0.0
    relative: float = 0.0
    at: tuple[int, ...] = field(default=())

    @property
    def comparable(self) -> bool:
        """Whether there are two arrays of one shape."""
        return self.shapes[0] is not None and self.shapes[0] == self.shapes[1]

    def within(self, tolerance: float) -> bool:
        """Whether no value differs by more than that."""
        return self.comparable and self.largest <= tolerance


def array_difference(old: Any, new: Any) -> tuple[float, float, tuple[int, ...]]:
    """The largest absolute difference, the relative one of the whole, and where the largest is; NaN beside a number
    counts as infinite, two equal values of any kind as no difference."""
    one, other = np.asarray(old, np.float64), np.asarray(new, np.float64)
    if not one.size:
        return 0.0, 0.0, ()
    with np.errstate(invalid="ignore"):
        apart = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, np.abs(one - other))
    apart = np.where(np.isnan(apart), np.inf, apart)
    place = tuple(int(index) for index in np.unravel_index(int(apart.argmax()), apart.shape))
    size, whole = sqrt(float(np.square(one).sum())), sqrt(float(np.square(apart).sum()))
    return float(apart.max()), whole / size if size > 0 else (0.0 if whole == 0 else float("inf")), place


def weight_changes(old: Weights, new: Weights) -> list[ArrayChange]:
    """Every array of two weight files, those that are equal included, layers paired as in :func:`net_changes`."""
    before, after = _keys(old.layers), _keys(new.layers)
    return [
        change
        for key in _merged(list(before), list(after))
        for change in _arrays(key[0], before.get(key), after.get(key))
    ]


def _arrays(layer: str, old: Any, new: Any) -> Iterator[ArrayChange]:
    one, other = (list(side.blobs) if side is not None else [] for side in (old, new))
    for slot in range(max(len(one), len(other))):
        pair = [side[slot] if slot < len(side) else None for side in (one, other)]
        shapes = tuple(None if array is None else tuple(array.shape) for array in pair)
        if shapes == (None, None):
            continue  # shared with another layer, in both
        if shapes[0] == shapes[1]:
            yield ArrayChange(layer, slot, shapes, *array_difference(*pair))  # type: ignore[arg-type]
        else:
            yield ArrayChange(layer, slot, shapes)  # type: ignore[arg-type]
