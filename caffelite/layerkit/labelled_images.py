"""Source layers that read labelled images from a table and transform them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.cache import Images
from ..data.label_counts import LabelCounts
from ..data.lazily import Image, Lazily
from ..data.order import Rows
from ..data.table import Table
from ..data.telling import told_by
from ..data.transform_param import by
from ..errors import DataError
from .base import Shape
from .fed import Batch, FedLayer
from .fed_by_rows import FedByRows

if TYPE_CHECKING:
    from ..data.transform import Transform


_FLOAT = 4
"""Bytes of a value of a top."""


class LabelledImages(FedByRows):
    """A layer whose tops are images, N×C×H×W, and their labels, N or N×K, or the images alone.

    A type says which table it reads (`open_table`).

    Attributes:
        bytes_of_batch: of its tops, as `shapes` found them.
        makes_equal: what the user can set so that images of different sizes become equal, for messages.
    """

    opened = frozenset({"_feed", "_table", "_transform"})

    makes_equal: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table: Table | None = None
        self._transform: Transform | None = None
        self.bytes_of_batch = 0

    def open_table(self) -> Table:
        """The table, opened for this layer, which closes it.

        Raises:
            DataError: it cannot be opened.
        """
        raise NotImplementedError

    @property
    def table(self) -> Table:
        """The table, open."""
        if self._table is None:
            with told_by(self, self.source):
                self._table = self.open_table()
        return self._table

    @property
    def records(self) -> int:
        return len(self.table)

    @property
    def transform(self) -> Transform:
        """What is done to the images."""
        if self._transform is None:
            from ..data.transform import Transform

            self._transform = Transform(self.param.transform_param, self.phase, self.read_mean_file(), self.places)
        return self._transform

    def enter_phase(self, phase: int) -> None:
        if phase != self.phase:
            super().enter_phase(phase)
            FedLayer.close(self)  # what is loaded ahead is cropped and changed as in the other phase
            self._transform = None

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        table = self.table
        with told_by(self, self.source):
            first = table.first()
        with told_by(self, "transform_param"):
            image = self.transform.shape(first.shape)
        batch = self.batch_size
        tops = [(batch, *image), (batch, *table.labels.shape[1:])][: len(self.param.top)]
        self.bytes_of_batch = _FLOAT * sum(map(prod, tops))
        return tops

    def load(self, seed: int, position: int) -> Batch:
        return self.load_block(seed, position, 1)

    def load_block(self, seed: int, position: int, batches: int) -> Batch:
        rows, transform = self.rows_at(seed, position, batches), self.transform
        records = self.table.records(rows)
        images = self._checked(records.images, rows)
        return Batch((records.labels,), transform.choose(images, seed, self.name, position), transform)

    def _checked(self, images: Images, rows: Rows) -> Images:
        """The images of a batch; where they come one by one, each is refused that does not come out of the
        transformation in the shape of the first."""
        first = images[0].shape
        wanted = self.transform.shape(first)
        if isinstance(images, np.ndarray):
            return images

        def checked(index: int) -> Image:
            image = images[index]
            self._refuse_misfit(wanted, first, image, int(rows[index]))
            return image

        return Lazily(len(images), checked)

    def _refuse_misfit(self, wanted: Shape, first: Shape, image: Image, row: int, policy: int = 0) -> None:
        """Raise unless an image comes out in the wanted shape, as the first of its batch does; `policy`: by which of
        several resize_param."""
        if image.shape == first:
            return
        try:
            fits = self.transform.shape(image.shape, policy) == wanted
        except DataError as error:
            raise DataError(self.table.fault(row, f"does not fit: {error.faults[0].message}")) from error
        if not fits and self.batch_size > 1:
            message = f"is {by(image.shape)}, but the first of its batch is {by(first)}"
            raise DataError(self.table.fault(row, message, self.makes_equal))

    def label_counts(self, top: int) -> LabelCounts:
        if top != 1:
            raise self.cannot_count(top, "it holds images")
        with told_by(self, self.source):
            return self.table.label_counts()

    def close(self) -> None:
        super().close()
        if self._table is not None:
            self._table.close()
            self._table = None
