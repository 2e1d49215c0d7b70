"""LabelsequenceAccuracy: how many sequences are read without a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Layer, Run, Shape, exactly, layer

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "labelsequence_accuracy_param"


@layer("LabelsequenceAccuracy")
class LabelsequenceAccuracy(Layer):
    """The part of N sequences that are read right, 0-d.

    Bottoms: scores, N×T×C, and labels, N×L.  What is read is the class of the highest score in each of T steps, without
    those equal to the class just before, and without `blank_label`; it is right if it equals the labels that are not
    `blank_label`.  (CtcLoss has its scores as T×N×C: a Permute in between exchanges the first two axes.)

    Source: `src/caffe/layers/labelsequence_accuracy_layer.cpp` of xmfbit/warpctc-caffe.
    """

    fork: ClassVar[str] = "xmfbit/warpctc-caffe"
    example = """
    layer {
      name: "in" type: "DummyData" top: "score" top: "label"
      dummy_data_param { shape { dim: 2 dim: 15 dim: 11 } shape { dim: 2 dim: 1 } }  # class 0 throughout
    }
    layer {
      name: "right" type: "LabelsequenceAccuracy" bottom: "score" bottom: "label" top: "right"
      labelsequence_accuracy_param { blank_label: 10 }
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = frozenset({0, 1})

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, labels = bottoms
        deep = len(scores) >= 3 and set(scores[3:]) <= {1}
        self.expect(deep, f"needs scores of N×T×C, got {scores}", "bottom[0]")
        self.expect(len(labels) >= 2 and set(labels[2:]) <= {1}, f"needs labels of N×L, got {labels}", "bottom[1]")
        same = f"the scores are of {scores[0]} sequences, the labels of {labels[0]}" if scores and labels else ""
        self.expect(scores[:1] == labels[:1], same, "bottom[1]", "a Permute exchanges the first two axes of scores")
        return [()]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores, labels = (bottom.detach() for bottom in bottoms)
        blank = int(self.settings(_FIELD).blank_label)
        read = ops.sequences.best_path(scores.flatten(2), blank)
        wanted = [[label for label in row if label != blank] for row in labels.flatten(1).tolist()]
        right = sum(mine == theirs for mine, theirs in zip(read, wanted, strict=True))
        return (scores.new_tensor(right / len(wanted)),)
