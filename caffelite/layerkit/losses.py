"""What the loss types and Accuracy share: which bottoms fit together, the divisor of a loss, and class labels.

Labels arrive as float tensors, as Caffe's blobs do; a label is truncated towards zero to an integer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..data.label_counts import LabelCounts
from ..errors import DataError, Fault, LayerError
from .base import Layer, Shape, exactly, torch
from .class_weights import balanced, by_class, listed

if TYPE_CHECKING:
    from torch import Tensor

FULL, VALID, BATCH_SIZE, NONE = range(4)
PRE_FIXED = 5140
"""LossParameter.NormalizationMode."""

_LABELS_END = 2**31
"""What does not fit into the int32 of an ignore_label begins here."""


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

    def warnings(self) -> list[Fault]:
        settings = self.settings("loss_param")
        given = [field for field in ("weight_by_label_freqs", "class_weighting") if getattr(settings, field)]
        why, help = "has no effect: this loss does not weigh classes", "leave it out"
        return [self.fault(f"{field} {why}", f"loss_param.{field}", help, "warning") for field in given]


class PairLoss(LossLayer):
    """Base of losses over a and b, N×…, with as many elements per sample, in any shape; both get a gradient."""

    ungraded = frozenset()

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        tops = self.top_shapes(bottoms)
        expect_as_many(self, *bottoms)
        return tops


class ClassLoss(LossLayer):
    """Base of losses whose labels are classes: with `loss_param { weight_by_label_freqs: true }` the term of a label of
    class c, and its gradient, is multiplied by a weight of class c.

    `class_weighting` lists these weights.  Where it is left out, the net counts the labels of the training data and
    hands them to `weigh_by`.  What the sum of the terms is divided by does not change: a label counts as one, whatever
    it weighs.  A type calls `expect_classes` in `shapes`, and `weighed_labels` in `forward`.

    Source: `src/caffe/layers/softmax_loss_layer.cpp` of SegNet's fork; weights from counts are caffelite's own.

    Attributes:
        ignore: the label that is left out, if any.
        classes: how many there are.
        weighted: whether terms are multiplied by class weights.
        class_weights: the weights; None until there are any.
    """

    ignore: int | None = None
    classes = 0
    weighted = False
    class_weights: NDArray[np.float32] | None = None
    _table: Tensor | None = None

    @property
    def weighs_by_counts(self) -> bool:
        """Whether the weights are to come from `weigh_by`."""
        return self.weighted and not self.settings("loss_param").class_weighting

    def warnings(self) -> list[Fault]:
        settings = self.settings("loss_param")
        if settings.weight_by_label_freqs or not settings.class_weighting:
            return []
        message, field = "class_weighting has no effect without weight_by_label_freqs: true", "class_weighting"
        return [self.fault(message, f"loss_param.{field}", "add weight_by_label_freqs: true", "warning")]

    def expect_classes(self, classes: int) -> None:
        """Read the settings about class weights; notes a fault unless the weights are sound, and one for each class."""
        settings = self.settings("loss_param")
        self.classes, self.weighted = classes, bool(settings.weight_by_label_freqs)
        if self.weighted and settings.class_weighting:
            self.class_weights = np.array(settings.class_weighting, np.float32)
        if self.class_weights is None:
            return
        sound, field = np.isfinite(self.class_weights) & (self.class_weights >= 0), "loss_param.class_weighting"
        for index in np.flatnonzero(~sound).tolist():
            what = f"class_weighting of class {index} must be a number from 0 on, got {self.class_weights[index]:g}"
            self.expect(False, what, f"{field}[{index}]")
        count = len(self.class_weights)
        self.expect(count == classes, f"needs one class_weighting for each of {classes} classes, got {count}", field)

    def weigh_by(self, counts: LabelCounts, whose: str) -> NDArray[np.float32]:
        """Take the weights from how often each label occurs: see :func:`.class_weights.balanced`.

        Args:
            counts: of every label; `ignore` is left out.
            whose: who counted, for messages.

        Returns:
            The weights.

        Raises:
            DataError: a label is no class.
        """
        found, strangers = by_class(counts, self.classes, self.ignore)
        if strangers:
            message = f"labels of {whose} must be classes from 0 to {self.classes - 1}, got {listed(strangers)}"
            help = "class weights come from the frequencies of the labels: correct these, or list class_weighting"
            raise DataError(self.fault(message, "loss_param.weight_by_label_freqs", help))
        weights = balanced(found)
        self.share_weights(weights)
        return weights

    def share_weights(self, weights: NDArray[np.float32]) -> None:
        """Use these weights, the train net's, in place of counted ones.

        Raises:
            LayerError: there is not one for each class.
        """
        if len(weights) != self.classes:
            message = f"the train net has class weights for {len(weights)} classes, this layer has {self.classes}"
            raise LayerError(self.fault(message, "loss_param.weight_by_label_freqs"))
        self.class_weights, self._table = weights, None

    def weighed_labels(
        self, labels: Tensor, shape: Shape, divisor: float | None
    ) -> tuple[Tensor, Tensor | None, float | Tensor | None]:
        """The labels as indices of this shape, what their terms are multiplied by (None: nothing), and what the sum of
        the terms is divided by (None: the labels that count).

        Raises:
            LayerError: a label is no class (see :func:`class_labels`), or there are no class weights yet.
        """
        indices, counted = class_labels(self, labels, shape, self.classes, self.ignore)
        return indices, *(self.weigh(indices, counted, divisor) if self.weighted else (counted, divisor))

    def weigh(self, indices: Tensor, counted: Tensor | None, divisor: float | None) -> tuple[Tensor, float | Tensor]:
        """What the terms of labels are multiplied by, and what their sum is divided by.

        Args:
            indices, counted: `indices` and `weights` of the :class:`Labels`.
            divisor: see :func:`divisor`.

        Raises:
            LayerError: there are no weights yet.
        """
        if self._table is None or self._table.device != indices.device:
            if self.class_weights is None:
                help = "a net counts the labels when it is made; a layer by itself needs class_weighting"
                raise LayerError(self.fault("has no class weights yet", "loss_param.weight_by_label_freqs", help))
            self._table = torch.from_numpy(self.class_weights).to(indices.device)
        weights = self._table[indices]
        return weights if counted is None else weights * counted, ops.losses.divisor_of(counted, divisor)


class SampleLoss(ClassLoss):
    """Base of class losses with one label per sample: scores, N×C (all axes but the first count as one axis of
    classes), and N labels.

    Attributes:
        samples: N.
    """

    samples = 0

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, labels = bottoms
        tops = self.top_shapes(bottoms)
        self.raise_faults()
        expect_label_each(self, labels, scores[0])
        self.samples = scores[0]
        self.expect_classes(math.prod(scores[1:]))
        return tops


class Labels(NamedTuple):
    """Class labels made ready for indexing.

    Attributes:
        indices: int64, every element within [0, classes).
        weights: 1 where the label counts, 0 where it is ignored; None where all count.  NaN where a label on a device
            other than the CPU is no class: there a check would have to wait for the device, so the result says it.
    """

    indices: Tensor
    weights: Tensor | None


def expect_as_many(layer: Layer, a: Shape, b: Shape) -> None:
    """Note a fault unless two bottoms have as many elements behind the first axis."""
    of_a, of_b = math.prod(a[1:]), math.prod(b[1:])
    told = f"its bottoms must have as many elements per sample, got {of_a} (shape {a}) and {of_b} (shape {b})"
    layer.expect(of_a == of_b, told, "bottom")


def expect_label_each(layer: Layer, labels: Shape, samples: int) -> None:
    """Note a fault unless the second bottom holds a label for each of so many samples."""
    told = f"needs one label per sample: {samples}, got {math.prod(labels)} labels of shape {labels}"
    layer.expect(math.prod(labels) == samples, told, "bottom[1]")


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


def divisor(layer: Layer, mode: int, outer: int, inner: int, ignore: int | None) -> float | None:
    """What the summed loss is divided by, at least 1; None where the labels that count must be counted in each pass.

    Args:
        layer: whose `pre_fixed_normalizer` is meant by PRE_FIXED.
        mode: FULL or VALID (positions), BATCH_SIZE (samples), PRE_FIXED, or NONE.
        outer, inner: positions before and behind the class axis.
        ignore: the ignored label, if any: only with one do VALID and FULL differ.
    """
    if mode == VALID and ignore is not None:
        return None
    if mode == PRE_FIXED:
        return max(1.0, float(layer.settings("loss_param").pre_fixed_normalizer))
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
    told, hint = f"{value:g}", "a label is a whole number"
    if abs(value) < _LABELS_END:  # an ignore_label can be that number
        index = int(value)
        told = f"{index}" if index == value else told
        hint = f"ignore_label: {index} would leave such labels out"
        if index >= classes:
            hint = f"labels count from 0: a label {index} needs at least {index + 1} scores; {hint}"
    message = f"label of sample {sample}{where} must be a class from 0 to {classes - 1}, got {told}"
    raise LayerError(layer.fault(message, "bottom[1]", help=hint))


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
