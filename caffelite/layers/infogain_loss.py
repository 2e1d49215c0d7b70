"""InfogainLoss: classification with a price for every confusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from .. import ops
from ..data.telling import find, folder_of, where_it_looked
from ..errors import DataError
from ..layerkit import Run, Shape, between, layer
from ..layerkit.base import torch
from ..layerkit.losses import ClassLoss, divisor, ignored, split_at
from ..proto import BlobProto

if TYPE_CHECKING:
    from torch import Tensor


@layer("InfogainLoss")
class InfogainLoss(ClassLoss):
    """−Σ Σ_k H[label, k]·log p_k / normaliser, 0-d, p being the softmax of the scores along `axis` (1 unless set).

    With the identity as H it is SoftmaxWithLoss.  Bottoms: scores, N×C×…, labels, N×…, and H (C·C numbers in any shape)
    unless `infogain_loss_param { source }` names a BlobProto file with it.  Probabilities are clipped at 1e-20.
    `loss_param`: `normalization`, `ignore_label` and class weights as in SoftmaxWithLoss; `normalize` is refused.  A
    second top holds the probabilities.  The scores alone get a gradient.

    Source: `src/caffe/layers/infogain_loss_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label" top: "H"
      input_param { shape { dim: 64 dim: 10 } shape { dim: 64 } shape { dim: 10 dim: 10 } }
    }
    layer {
      name: "loss" type: "InfogainLoss" bottom: "score" bottom: "label" bottom: "H" top: "loss"
      loss_param { normalization: VALID }
    }
    """

    activation = "Softmax"
    bottoms, tops = between(2, 3), between(1, 2)
    ungraded = frozenset({1, 2})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("loss_param")
        self.ignore, self.mode = ignored(settings), int(settings.normalization)
        self.require(
            not settings.HasField("normalize"),
            "loss_param.normalize",
            "is not known to InfogainLoss",
            help="use normalization: VALID instead of normalize: true, BATCH_SIZE instead of false",
        )
        source = self.settings("infogain_loss_param").source
        self.expect(
            bool(source) or len(bottoms) == 3,
            "needs the matrix H: as a third bottom, or infogain_loss_param { source }",
            "infogain_loss_param",
        )
        self.raise_faults()
        self.matrix: Tensor | None = None
        self.numbers = self._read(source) if len(bottoms) == 2 else None

    def _read(self, source: str) -> np.ndarray:
        proto, field = BlobProto(), "infogain_loss_param.source"
        beside = folder_of(self, field)
        try:
            proto.ParseFromString(find(source, beside).read_bytes())
        except OSError as error:
            told = self.fault(
                f'cannot read source "{source}": {error.strerror}', field, where_it_looked(source, beside)
            )
            raise DataError(told) from error
        except DecodeError as error:
            raise DataError(self.fault(f'source "{source}" is not a BlobProto', field)) from error
        return np.asarray(proto.data or proto.double_data, np.float32)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        tops, scores = self.top_shapes(bottoms), bottoms[0]
        self.index = self.axis(self.settings("infogain_loss_param").axis, len(scores), "infogain_loss_param.axis")
        outer, inner = split_at(self, scores, bottoms[1], self.index)
        self.label_shape = scores[: self.index] + scores[self.index + 1 :]
        self.expect_classes(scores[self.index])
        self.divisor = divisor(self, self.mode, outer, inner, self.ignore)
        numbers = math.prod(bottoms[2]) if self.numbers is None else self.numbers.size
        self.expect(
            numbers == self.classes**2,
            f"H must hold {self.classes}×{self.classes} numbers for {self.classes} classes, got {numbers}",
            "bottom[2]" if self.numbers is None else "infogain_loss_param.source",
        )
        return tops

    def _matrix(self, bottoms: Sequence[Tensor]) -> Tensor:
        if self.numbers is None:
            return bottoms[2].reshape(self.classes, self.classes)
        if self.matrix is None or self.matrix.device != bottoms[0].device:
            square = self.numbers.reshape(self.classes, self.classes)
            self.matrix = torch.from_numpy(square).to(bottoms[0].device)
        return self.matrix

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores = bottoms[0]
        indices, counted, by = self.weighed_labels(bottoms[1], self.label_shape, self.divisor)
        loss = ops.losses.infogain_loss(scores, self._matrix(bottoms), indices, counted, self.index, by)
        return (loss,) if len(self.param.top) < 2 else (loss, scores.detach().softmax(self.index))
