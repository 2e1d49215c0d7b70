"""What the loss types and Accuracy share: which bottoms fit together, the divisor of a loss, and class labels.

Labels arrive as float tensors, as Caffe's blobs do; a label is truncated towards zero to an integer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import LayerError
from .base import Layer, Shape, exactly, torch

if TYPE_CHECKING:
    from torch import Tensor

FULL, VALID, BATCH_SIZE, NONE = range(4)
"""LossParameter.NormalizationMode."""


class LossLayer(Layer):
    """Base of losses over (scores, labels): one 0-d top with loss_weight 1, no gradient to the labels
    (`src/caffe/layers/loss_layer.cpp`)."""

    bottoms, tops = exactly(2), exactly(1)
    loss = True
    ungraded = frozenset({1})

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """The tops' shapes: a scalar, and that of the scores for a second top if there is one.

        Notes a fault unless the first two bottoms have the same first axis, the batch.
        """
        scores, labels = bottoms[0], bottoms[1]
        self.expect(
            scores[:1] == labels[:1] != (),
            f"the first axis (the batch) of its bottoms must be the same, got shapes {scores} and {labels}",
            "bottom",
        )
        return [(), scores][: max(1, len(self.param.top))]


class Labels(NamedTuple):
    """Class labels made ready for indexing.

    Attributes:
        indices: int64, every element within [0, classes).
        weights: 1 where the label counts, 0 where it is ignored; None where all count.  NaN where a label on a device
            other than the CPU is no class: there a check would have to wait for the device, so the result says it.
    """

    indices: Tensor
    weights: Tensor | None


def ignored(settings: Any) -> int | None:
    """`ignore_label` of a LossParameter or AccuracyParameter, None where it is not set."""
    return int(settings.ignore_label) if settings.HasField("ignore_label") else None


def normalization(layer: Layer, default: int) -> int:
    """The mode of a loss: `normalization` if set, else what the older `normalize` asks for if set, else the default."""
    settings = layer.settings("loss_param")
    if settings.HasField("normalization"):
        return int(settings.normalization)
    if settings.HasField("normalize"):
        return VALID if settings.normalize else BATCH_SIZE
    return default


def divisor(mode: int, outer: int, inner: int, ignore: int | None) -> float | None:
    """What the summed loss is divided by, at least 1; None where the labels that count must be counted in each pass.

    Args:
        mode: FULL or VALID (positions), BATCH_SIZE (samples), or NONE.
        outer, inner: positions before and behind the class axis.
        ignore: the ignored label, if any: only with one do VALID and FULL differ.
    """
    if mode == VALID and ignore is not None:
        return None
    counts = {FULL: outer * inner, VALID: outer * inner, BATCH_SIZE: outer, NONE: 1}
    return float(max(1, counts[mode]))


def split_at(layer: Layer, scores: Shape, labels: Shape, axis: int) -> tuple[int, int]:
    """Positions before and behind the class axis of `scores`; notes a fault unless there is a label for each."""
    outer, inner = math.prod(scores[:axis]), math.prod(scores[axis + 1 :])
    layer.expect(
        outer * inner == math.prod(labels),
        f"needs one label per prediction: scores of shape {scores} with their classes on axis {axis} are "
        f"{outer * inner} predictions, got {math.prod(labels)} labels of shape {labels}",
        "bottom",
        help="for scores N×C×H×W with the classes on axis 1, the labels are N×H×W or N×1×H×W",
    )
    return outer, inner


def _refuse(layer: Layer, labels: Tensor, indices: Tensor, classes: int) -> None:
    flat = int(((indices < 0) | (indices >= classes)).reshape(-1).nonzero()[0])
    value, per_sample = float(labels.reshape(-1)[flat]), max(1, math.prod(indices.shape[1:]))
    sample, inside = divmod(flat, per_sample)
    where = f" at position {inside} of {per_sample}" if per_sample > 1 else ""
    hint = f"ignore_label: {value:g} would leave such labels out"
    if value >= classes:
        hint = f"labels count from 0: a label {value:g} needs at least {value + 1:g} scores; {hint}"
    raise LayerError(
        layer.fault(
            f"label of sample {sample}{where} must be a class from 0 to {classes - 1}, got {value:g}",
            "bottom[1]",
            help=hint,
        )
    )


def marked(indices: Tensor, weights: Tensor | None, classes: int) -> Labels:
    """Labels with NaN as the weight of those outside [0, classes), without waiting for the device they are on."""
    inside = indices.clamp(0, classes - 1)
    sound = torch.where(inside == indices, 1.0, math.nan)
    return Labels(inside, sound if weights is None else weights * sound)


def class_labels(layer: Layer, labels: Tensor, shape: Shape, classes: int, ignore: int | None) -> Labels:
    """The labels as indices of shape `shape` into `classes` scores.

    Raises:
        LayerError: a label is no class and is not ignored (on the CPU; elsewhere see :class:`Labels`).
    """
    indices, weights = labels.detach().long().reshape(shape), None
    if ignore is not None:
        counted = indices != ignore
        indices, weights = indices * counted, counted.to(torch.float32)
    if indices.device.type != "cpu":
        return marked(indices, weights, classes)
    if indices.numel():
        low, high = torch.aminmax(indices)
        if low < 0 or high >= classes:
            _refuse(layer, labels, indices, classes)
    return Labels(indices, weights)
