"""Putting trained weights into a net, and telling what went where.

Source: `Net::CopyTrainedLayersFrom`, `src/caffe/net.cpp`: layers are matched by name, blobs by position.  Where the
original put the weights of all layers of one name into the first, several of a name get them in their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import Fault, SnapshotError
from ..snapshot.blobs import same_shape
from .blob import Parameter, SharedView

Row = Parameter | SharedView


@dataclass(frozen=True, slots=True)
class Loaded:
    """One row of the report: a layer of the net or of the file, what happened to it, and why."""

    layer: str
    status: Literal["loaded", "not in the file", "not in the net"]
    detail: str = ""


def by_name(rows: Iterable[tuple[str, Sequence[Row]]]) -> dict[str, list[Sequence[Row]]]:
    """The rows of each name in order, those without weights left out where the name has any with."""
    named: dict[str, list[Sequence[Row]]] = {}
    for name, row in rows:
        named.setdefault(name, []).append(row)
    return {name: [row for row in rows if row] or rows[:1] for name, rows in named.items()}


def _matched(
    rows: Mapping[str, list[Sequence[Row]]], stored: Sequence[tuple[str, Sequence[np.ndarray | None]]]
) -> Iterator[tuple[str, Sequence[np.ndarray | None], Sequence[Row] | None]]:
    """Each stored layer with the row it belongs to, or None: a row of its name; of several the one at its place."""
    seen: Counter[str] = Counter()
    for name, arrays in stored:
        candidates = rows.get(name, [])
        place = seen[name] if len(candidates) > 1 else 0
        seen[name] += bool(arrays)
        row = candidates[place] if place < len(candidates) and (arrays or len(candidates) == 1) else None
        yield name, arrays if row is None else _padded(name, arrays, row), row


def _padded(layer: str, stored: Sequence[np.ndarray | None], wanted: Sequence[Row]) -> tuple[np.ndarray | None, ...]:
    """The stored arrays, with None where HDF5 left a shared weight to the layer that owns it."""
    arrays = list(stored)
    while len(arrays) < len(wanted) and not _owns(layer, len(arrays), wanted):
        arrays.append(None)
    return tuple(arrays)


def _owns(layer: str, slot: int, row: Sequence[Row]) -> bool:
    owner = row[slot].owner
    return (owner.layer, owner.slot) == (layer, slot)


def _check(layer: str, stored: Sequence[np.ndarray | None], wanted: Sequence[Row], file: str) -> list[Fault]:
    anew = "rename the layer in the prototxt to train it anew"
    if len(stored) != len(wanted):
        return [Fault(f"{file} holds {len(stored)} blobs for this layer, the net has {len(wanted)}", None, anew, layer)]
    faults = []
    for slot, (array, blob) in enumerate(zip(stored, wanted, strict=True)):
        if array is None and _owns(layer, slot, wanted):
            faults.append(Fault(f"{file} holds no blob {slot} for this layer", None, anew, layer))
        elif array is not None and not same_shape(tuple(array.shape), tuple(blob.shape)):
            text = f"blob {slot} has shape {tuple(array.shape)} in {file}, and {tuple(blob.shape)} in the net"
            faults.append(Fault(text, None, f"change the layer's parameters back, or {anew}", layer))
    return faults


def _size(array: np.ndarray | None) -> str:
    return "shared" if array is None else "x".join(map(str, array.shape)) or "scalar"


def load(
    params: Sequence[tuple[str, Sequence[Row]]],
    stored: Sequence[tuple[str, Sequence[np.ndarray | None]]],
    file: str,
) -> list[Loaded]:
    """Copy stored arrays into the parameters of the layers of the same name.

    Args:
        params: the net's layers in order: name, weights (maybe none).
        stored: the file's layers in order: name, arrays (None where an array is left to the layer that owns it).
        file: what to call the file in messages.

    Raises:
        SnapshotError: a layer of the same name has blobs of another number or shape.  Nothing is changed then.
    """
    rows = by_name(params)
    matched = list(_matched(rows, stored))
    faults = [fault for name, arrays, row in matched if row is not None for fault in _check(name, arrays, row, file)]
    if faults:
        raise SnapshotError(faults)
    report, seen = [], set()
    for name, arrays, row in matched:
        if row is None:
            if arrays:
                report.append(Loaded(name, "not in the net", "ignored"))
            continue
        seen.add(id(row))
        for array, blob in zip(arrays, row, strict=True):
            if array is not None:
                blob.owner.load(array)
        if arrays:
            report.append(Loaded(name, "loaded", ", ".join(_size(array) for array in arrays)))
    report += [
        Loaded(name, "not in the file", "keeps its initial values")
        for name, row in params
        if row and id(row) not in seen
    ]
    return report


def share(rows: Sequence[tuple[str, Sequence[Row]]], sources: Sequence[tuple[str, Sequence[Row]]]) -> None:
    """Let the weights of layers have their values in the memory of those of the same name; gradients stay their own.

    Source: `Net::ShareTrainedLayersWith`, `src/caffe/net.cpp`.

    Args:
        rows: the layers of a net in order: name, weights.
        sources: those of the net whose memory is used; layers that only one of the two has are passed over.

    Raises:
        SnapshotError: weights do not fit.  Nothing is changed then.
    """
    named = by_name(rows)
    pairs = [
        (name, mine, theirs)
        for name, many in by_name(sources).items()
        for mine, theirs in zip(named.get(name, ()), many, strict=False)
    ]
    faults = [fault for name, mine, theirs in pairs for fault in _unshareable(name, mine, theirs)]
    faults = faults or list(_torn(pairs))
    if faults:
        raise SnapshotError(faults)
    for _, mine, theirs in pairs:
        for blob, source in zip(mine, theirs, strict=True):
            blob.owner.share(source.owner)


def _unshareable(layer: str, mine: Sequence[Row], theirs: Sequence[Row]) -> list[Fault]:
    help = "rename one of the two layers to keep its own weights"
    if len(mine) != len(theirs):
        return [Fault(f"has {len(mine)} weights here and {len(theirs)} in the other net", None, help, layer)]
    faults = []
    for slot, (blob, source) in enumerate(zip(mine, theirs, strict=True)):
        if blob.shape != source.shape:
            text = f"weight {slot} has shape {blob.shape} here and {source.shape} in the other net"
            faults.append(Fault(text, None, help, layer))
        elif blob.owner.tensor.device != source.owner.tensor.device:
            where = f"{blob.owner.tensor.device} here and on {source.owner.tensor.device} in the other net"
            faults.append(Fault(f"weight {slot} is on {where}", None, "make both nets on one device", layer))
    return faults


def _torn(pairs: Iterable[tuple[str, Sequence[Row], Sequence[Row]]]) -> Iterator[Fault]:
    """Weights that layers here do not share as those of the other net do, so that one would have to be two."""
    sources: dict[int, Parameter] = {}
    for name, mine, theirs in pairs:
        for slot, (blob, source) in enumerate(zip(mine, theirs, strict=True)):
            whole = sources.setdefault(id(blob.owner), source.owner)
            if whole.memory != source.owner.memory or whole.shape != blob.owner.shape:
                text = f"weight {slot} is shared with another layer in only one of the two nets"
                yield Fault(text, None, "let both nets share weights in the same way", name)
