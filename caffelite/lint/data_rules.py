"""Mistakes that only the data shows.  Data that is not at hand, or would take long to look through, is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ..errors import CaffeliteError, Fault
from ..graph import Node
from ..layerkit.fed import FedLayer
from .rules import net_rule
from .subject import Subject

_MOST_READ = 64 << 20
"""Bytes of images and labels that are looked through."""
_SAMPLE = 400
_LEAST = 20


@net_rule("CL608")
def training_data_is_in_no_order_of_labels(net: Subject) -> Iterator[Fault]:
    """Where each class comes as one long run, every batch holds one class, and the net forgets the others."""
    if not net.training:
        return
    for node, layer in net.fed():
        if getattr(layer, "shuffled", False) or len(node.tops) < 2:
            continue
        labels = _some_labels(layer, _SAMPLE)
        if labels is None or len(labels) < _LEAST or labels.ndim != 1:
            continue
        classes = len(np.unique(labels))
        steps = np.diff(labels)
        if classes > 1 and 4 * classes <= len(labels) and ((steps >= 0).all() or (steps <= 0).all()):
            message = "the training data is sorted by label: most batches hold a single class"
            help = f"{_holder(layer)} {{ shuffle: true }}, or shuffle when the data set is made"
            yield node.fault(message, layer.source, help, severity="warning")


def _holder(layer: FedLayer) -> str:
    return layer.source.partition(".")[0]


def _some_labels(layer: FedLayer, most: int) -> NDArray[np.float32] | None:
    """The labels of records evenly spread over the data set, in its order; None where they are not to be had."""
    table = getattr(layer, "table", None)
    if table is None:
        return None
    rows = np.unique(np.linspace(0, len(table) - 1, min(most, len(table))).astype(np.int64))
    with suppress(CaffeliteError):
        labels: NDArray[np.float32] = table.labels_of(rows[:: max(1, len(rows) * table.label_size() // _MOST_READ)])
        return labels
    return None


@net_rule("CL619")
def there_is_an_output_for_every_class(net: Subject) -> Iterator[Fault]:
    """A label beyond the outputs is an error when it is met; outputs beyond the labels are never right."""
    fed = dict((id(node), layer) for node, layer in net.fed())
    for node in net.nodes:
        if node.type != "SoftmaxWithLoss" or len(node.reads) < 2 or node.layer is None:
            continue
        source = net.above(node, 1)
        shape = net.graph.values[node.reads[0]].shape
        if source is None or id(source) not in fed or shape is None or len(shape) < 2:
            continue
        labels = _all_labels(source, fed[id(source)], net.graph.values[node.reads[1]].blob)
        if labels is None:
            continue
        settings = node.param.softmax_param
        classes = shape[settings.axis % len(shape)]
        ignored = node.param.loss_param.ignore_label if node.param.loss_param.HasField("ignore_label") else None
        counted = sorted(label for label in labels if label != ignored)
        yield from _misfits(net, node, source, counted, classes)


def _misfits(net: Subject, node: Node, source: Node, labels: list[float], classes: int) -> Iterator[Fault]:
    maker = net.above(node)
    while maker is not None and len(maker.weights) == 0 and maker.reads:
        maker = net.above(maker)
    named = f' (num_output of layer "{maker.name}")' if maker is not None and maker.weights else ""
    if not labels:
        return
    if labels[-1] >= classes or labels[0] < 0:
        wrong = labels[-1] if labels[-1] >= classes else labels[0]
        message = f'layer "{source.name}" brings the label {wrong:g}, and there are {classes} outputs{named}'
        help = f"labels count from 0: with {classes} outputs up to {classes - 1}"
        yield node.fault(message, "bottom[1]", help)
    elif labels[-1] + 1 < classes:
        message = f'the labels of layer "{source.name}" end at {labels[-1]:g}, and there are {classes} outputs{named}'
        help = f"num_output: {int(labels[-1]) + 1}, unless further classes are to come"
        yield node.fault(message, "bottom[1]", help, severity="note")


def _all_labels(source: Node, layer: FedLayer, blob: str) -> list[float] | None:
    """Which labels occur; None where the data set is too large to look through."""
    table = getattr(layer, "table", None)
    names = list(layer.param.top)
    blob = next((name for name in names if blob.startswith(name)), blob) if blob not in names else blob
    if table is None or blob not in names:
        return None
    with suppress(CaffeliteError):
        if table.label_size() * len(table) > _MOST_READ:
            return None
        return sorted(float(label) for label in layer.label_counts(names.index(blob)))
    return None
