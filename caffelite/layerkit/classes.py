"""Losses of batches whose samples come class by class, as many of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import LayerError
from .base import Shape
from .losses import LossLayer, expect_label_each

if TYPE_CHECKING:
    from torch import Tensor


class ByClasses(LossLayer):
    """Base of losses of features, N×…, and N labels, that lie class by class: how many samples a class has tells the
    first one, and the labels of the others are not looked at, as there."""

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        features, labels = bottoms
        tops = self.top_shapes(bottoms)
        self.raise_faults()
        expect_label_each(self, labels, features[0])
        return tops

    def classes(self, bottoms: Sequence[Tensor]) -> Tensor:
        """The features of each class: classes × samples of a class × K.

        Raises:
            LayerError: not every class has as many samples as the first one.
        """
        features, labels = bottoms[0].flatten(1), bottoms[1].detach().reshape(-1)
        others = (labels != labels[0]).nonzero()
        first = int(others[0]) if len(others) else len(labels)
        if len(features) % first:
            message = f"the first class has {first} samples, and {len(features)} are no multiple of that"
            help = "samples come class by class, as many of each"
            raise LayerError(self.fault(message, "bottom[1]", help))
        return features.reshape(len(features) // first, first, -1)
