"""Layers that bring data into a net: no bottoms, and a position in a stream of records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DataError
from .base import Layer, exactly

if TYPE_CHECKING:
    from ..data.label_counts import LabelCounts

LIST_WEIGHTS = "list class_weighting, one for each class, in the loss that says weight_by_label_freqs"
"""What to do where labels cannot be counted."""


class SourceLayer(Layer):
    """A layer that reads records.

    `consumed` counts the records handed to the net since the run began; setting it moves the stream there (resume).  A
    `forward` that fails leaves it as it is.
    Nothing may be opened before `shapes` or `forward` asks for it; `close` releases files and threads and may be
    called twice.
    """

    bottoms = exactly(0)

    consumed: int = 0
    remembers = ("consumed",)

    @property
    def records(self) -> int | None:
        """How many records an epoch has; None where there is no such thing, or nobody knows.

        Raises:
            DataError: the data is missing or damaged.
        """
        return None

    def label_counts(self, top: int) -> LabelCounts:
        """How often each label stands in the records behind top number `top`; every record counts once.

        Raises:
            DataError: this type cannot count (the default), or not this top; or the data is missing or damaged.
        """
        raise self.cannot_count(top, "")

    def cannot_count(self, top: int, why: str) -> DataError:
        """The error of a layer that cannot count the labels of a top."""
        message = f'cannot count the labels of its top "{self.param.top[top]}"{f": {why}" if why else ""}'
        return DataError(self.fault(message, f"top[{top}]", LIST_WEIGHTS))
