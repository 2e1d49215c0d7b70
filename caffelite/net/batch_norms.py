"""BatchNorm as NVIDIA's fork stores it, for nets that have it in two layers.

There a BatchNorm with `scale_bias` has five blobs: mean, variance, one number that is not used, scale, bias.  Older
files (of DIGITS) have them as scale, bias, mean, variance and that number.  Mean and variance are what they say, not
sums to be divided by an amount.

Source: `src/caffe/layers/batch_norm_layer.cpp` and `Net::CopyTrainedLayersFrom` of NVIDIA/caffe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import SnapshotError
from ..graph import Node

_BLOBS = 5

Arrays = Sequence["np.ndarray | None"]


def in_two_layers(stored: Iterable[tuple[str, str, Arrays]], nodes: Sequence[Node]) -> list[tuple[str, Arrays]]:
    """The layers of a file, name and arrays, such a BatchNorm as the two layers that a net has for it.

    Args:
        stored: name, type ("" where it is not known) and arrays of the layers of the file.
        nodes: the net's layers.

    Raises:
        SnapshotError: the net has a BatchNorm for it, but no Scale behind that.
    """
    named = {node.name: node for node in nodes if node.type == "BatchNorm"}
    layers: list[tuple[str, Arrays]] = []
    for name, kind, arrays in stored:
        node = named.get(name) if kind in ("BatchNorm", "") and len(arrays) == _BLOBS else None
        ordered = None if node is None else _ordered(arrays)
        if node is None or ordered is None:
            layers.append((name, arrays))
        elif len(node.weights) == _BLOBS:
            layers.append((name, ordered))
        else:
            mean, variance, _, scale, bias = ordered
            layers += [(name, [mean, variance, np.ones(1, np.float32)]), (_scale(node, nodes), [scale, bias])]
    return layers


def _ordered(arrays: Arrays) -> list[np.ndarray] | None:
    """Mean, variance, number, scale, bias, each an axis; None where arrays are missing."""
    flat = [array.reshape(-1) for array in arrays if array is not None]
    if len(flat) < _BLOBS:
        return None
    if flat[4].size == 1 < flat[2].size:
        scale, bias, mean, variance, number = flat
        return [mean, variance, number, scale, bias]
    return flat


def _scale(norm: Node, nodes: Sequence[Node]) -> str:
    """The name of the Scale layer that reads what a BatchNorm writes."""
    for node in nodes:
        if node.type == "Scale" and node.reads == norm.writes:
            return node.name
    what = "the file holds a BatchNorm of NVIDIA's fork, with scale and bias; no Scale layer behind it takes these"
    help = f'layer {{ type: "Scale" bottom: "{norm.tops[0]}" top: "{norm.tops[0]}" scale_param {{ bias_term: true }} }}'
    raise SnapshotError(norm.fault(what, help=help))
