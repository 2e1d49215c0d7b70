"""CtcLoss: the loss of sequences whose labels have no places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import LayerError
from ..layerkit import Run, Shape, layer
from ..layerkit.losses import LossLayer

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "ctc_loss_param"


@layer("CtcLoss")
class CtcLoss(LossLayer):
    """Σ −log p(labels) / N over N sequences, 0-d.  p(labels) is the probability of all ways in which the steps of a
    sequence may spell its labels: each step is one of `alphabet_size` classes, equal neighbours count once, and then
    `blank_label` is left out.  A step's probabilities are the softmax of its scores.

    Bottoms: scores, T×N×C, of which the first `time_step` steps are read, and labels, N×L; a label that is
    `blank_label` stands for none.  A sequence that is too short for its labels counts as 0 and has no gradient.

    Source: `src/caffe/layers/ctc_loss_layer.cpp` of xmfbit/warpctc-caffe, which calls baidu-research/warp-ctc; Graves,
    Fernández, Gomez and Schmidhuber, 2006.

    Raises:
        LayerError: in `forward`, where a label is no class, or there is no label in the whole batch.
    """

    fork: ClassVar[str] = "xmfbit/warpctc-caffe"
    example = """
    layer {
      name: "in" type: "Input" top: "score"
      input_param { shape { dim: 15 dim: 2 dim: 11 } }
    }
    layer {
      name: "label" type: "DummyData" top: "label"
      dummy_data_param { shape { dim: 2 dim: 4 } data_filler { type: "constant" value: 3 } }
    }
    layer {
      name: "loss" type: "CtcLoss" bottom: "score" bottom: "label" top: "loss"
      ctc_loss_param { blank_label: 10 alphabet_size: 11 time_step: 15 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(_FIELD)
        for name in ("alphabet_size", "time_step"):
            self.require(getattr(settings, name) > 0, f"{_FIELD}.{name}", "must be positive")
        within = 0 <= settings.blank_label < max(1, settings.alphabet_size)
        self.require(within, f"{_FIELD}.blank_label", f"must be a class from 0 to {settings.alphabet_size - 1}")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, labels = bottoms
        settings = self.settings(_FIELD)
        deep = len(scores) >= 3 and set(scores[3:]) <= {1}
        self.expect(deep, f"needs scores of T×N×C, got {scores}", "bottom[0]")
        self.expect(len(labels) >= 2 and set(labels[2:]) <= {1}, f"needs labels of N×L, got {labels}", "bottom[1]")
        self.raise_faults()
        steps, sequences, classes = scores[:3]
        self.expect(
            labels[0] == sequences, f"the scores are of {sequences} sequences, the labels of {labels[0]}", "bottom[1]"
        )
        few = f"time_step is {settings.time_step}, the scores are of {steps} steps"
        self.expect(settings.time_step <= steps, few, f"{_FIELD}.time_step")
        other = f"alphabet_size is {settings.alphabet_size}, the scores are of {classes} classes"
        self.expect(settings.alphabet_size == classes, other, f"{_FIELD}.alphabet_size")
        return [()]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        settings = self.settings(_FIELD)
        scores = bottoms[0].flatten(2)[: settings.time_step]
        labels = bottoms[1].detach().reshape(scores.shape[1], -1).long().cpu()
        wrong = ((labels < 0) | (labels >= settings.alphabet_size)).nonzero()
        if len(wrong):
            sequence, place = wrong[0].tolist()
            message = f"label {place} of sequence {sequence} must be a class from 0 to {settings.alphabet_size - 1}"
            message += f", got {int(labels[sequence, place])}"
            raise LayerError(self.fault(message, "bottom[1]", "labels are whole numbers; blank_label fills them up"))
        if not math.prod(labels.shape) or bool((labels == settings.blank_label).all()):
            message = f"all labels of the batch are blank_label, {settings.blank_label}"
            raise LayerError(self.fault(message, "bottom[1]", "is blank_label the right one?"))
        return (ops.sequences.ctc_loss(scores, labels, settings.blank_label),)
