"""A Split layer wherever a blob has several readers, under the original's names.

Autograd would sum the gradients without it; the layers are inserted so that blobs, weight files and recorded outputs
have the names they had in Caffe.  Source: `src/caffe/util/insert_splits.cpp`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..errors import Fault, Places, did_you_mean
from ..proto import NetParameter

Top = tuple[int, int]
"""(layer index, top index): one producer."""


def split_name(layer: str, blob: str, top: int) -> str:
    """Name of the Split layer behind top number `top` of `layer`; its tops have `_0`, `_1` … appended."""
    return f"{blob}_{layer}_{top}_split"


def blob_behind(node: Any, top: str) -> str:
    """What a node's top is called in the prototxt: that of a Split which a pass inserted is the blob it copies."""
    bottom = node.bottoms[0] if node.type == "Split" else ""
    inserted = node.name.startswith(f"{bottom}_") and node.name.endswith("_split") and top.startswith(f"{node.name}_")
    return bottom if bottom and inserted else top


@dataclass(slots=True)
class _Readers:
    """Who reads what: the producer of every bottom, how often each producer is read, and its loss weight."""

    sources: dict[Top, Top] = field(default_factory=dict)
    counts: Counter[Top] = field(default_factory=Counter)
    losses: dict[Top, float] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def _trace(net: Any, places: Places, origins: list[int]) -> _Readers:
    found, last = _Readers(), dict[str, Top]()
    later = {top: layer.name for layer in net.layer for top in layer.top}
    for index, layer in enumerate(net.layer):
        for position, blob in enumerate(layer.bottom):
            if blob in last:
                found.sources[index, position] = last[blob]
                found.counts[last[blob]] += 1
                continue
            help: str | None
            if blob in later:
                message, code = f'bottom "{blob}" is read before layer "{later[blob]}" makes it', "CL202"
                help = f'move this layer below "{later[blob]}"'
            else:
                message, code = f'unknown bottom "{blob}": no layer above makes it', "CL201"
                help = did_you_mean(blob, last) or (f"blobs so far: {', '.join(last)}" if last else None)
            place = places(f"layer[{origins[index]}].bottom[{position}]")
            found.faults.append(Fault(message, place, help, layer.name, layer.type, code=code))
        for position, blob in enumerate(layer.top):
            last[blob] = (index, position)
        for position, weight in enumerate(layer.loss_weight[: len(layer.top)]):
            found.losses[index, position] = weight
            found.counts[index, position] += bool(weight)
    return found


def insert_splits(net: Any, origins: list[int], places: Places) -> tuple[Any, list[int], list[Fault]]:
    """A copy of the net with Split layers.

    A loss weight counts as a reader: it moves to the first top of the Split.

    Returns:
        The NetParameter, for each layer the index in the file it stems from, and the faults (unknown bottoms).
    """
    readers = _trace(net, places, origins)
    result, stems = NetParameter(), []
    result.CopyFrom(net)
    del result.layer[:]
    used: Counter[Top] = Counter()
    for index, layer in enumerate(net.layer):
        copy = result.layer.add()
        copy.CopyFrom(layer)
        stems.append(origins[index])
        for position, blob in enumerate(layer.bottom):
            source = readers.sources.get((index, position))
            if source is not None and readers.counts[source] > 1:
                name = split_name(net.layer[source[0]].name, blob, source[1])
                copy.bottom[position] = f"{name}_{used[source]}"
                used[source] += 1
        for position, blob in enumerate(layer.top):
            top = (index, position)
            if readers.counts[top] <= 1:
                continue
            split = result.layer.add(name=split_name(layer.name, blob, position), type="Split", bottom=[blob])
            split.top.extend(f"{split.name}_{number}" for number in range(readers.counts[top]))
            stems.append(origins[index])
            if readers.losses.get(top):
                split.loss_weight.extend([readers.losses[top]] + [0.0] * (readers.counts[top] - 1))
                del copy.loss_weight[:]
                used[top] += 1
    return result, stems, readers.faults
